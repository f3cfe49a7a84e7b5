import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { everythingTo, ingress } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [...everythingTo(recorder.port), ingress({ name: 'nameless', paths: { '/nameless': 'recorder' } })],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Sets what the backend does for one test, and gives a client. */
async function open(onRequest: (request: RecordedRequest) => void): Promise<RawClient> {
  recorder.onRequest = onRequest;
  recorder.onHead = () => undefined;
  recorder.take();
  return await RawClient.open({ port: sluice.httpPort });
}

test('pipelined requests are answered in order, whatever the backend does first', async () => {
  const held: RecordedRequest[] = [];
  const client = await open((request) => {
    if (request.target === '/0') held.push(request);
    else answer(request, request.target);
  });
  client.send(Array.from({ length: 20 }, (_, index) => get(`/${index}`, 'gw.test')).join(''));
  await waitUntil(() => held.length === 1, 'the first request');
  answer(held[0] as RecordedRequest, '/0');
  await client.response(19);
  for (let index = 0; index < 20; index++) {
    assert.equal((await client.response(index)).body.toString(), `/${index}`);
  }
  client.destroy();
});

test('a pipelined request with a body does not swallow the next one', async () => {
  const client = await open((request) => answer(request, `${request.method} ${request.body.toString()}`));
  client.send('POST /a HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\nabc');
  client.send('POST /b HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n');
  client.send(get('/c', 'gw.test'));
  assert.equal((await client.response(0)).body.toString(), 'POST abc');
  assert.equal((await client.response(1)).body.toString(), 'POST def');
  assert.equal((await client.response(2)).body.toString(), 'GET ');
  client.destroy();
});

test('a Connection field that names thousands of fields is refused, in one line or in many', async () => {
  const ask = (fields: readonly string[]) => exchange({ port: sluice.httpPort }, get('/', 'gw.test', fields));
  recorder.onRequest = (request) => answer(request, 'ok');
  assert.equal((await ask([`Connection: ${'a,'.repeat(500)}x`, 'X: y'])).status, 200);
  recorder.take();
  assert.equal((await ask([`Connection: ${'a,'.repeat(600)}x`, 'X: y'])).status, 400);
  const lines = Array.from({ length: 6 }, () => `Connection: ${'a,'.repeat(100)}x`);
  assert.equal((await ask(lines)).status, 400);
  assert.deepEqual(recorder.take(), []);
});

test('a request that arrives byte by byte is the same request', async () => {
  const client = await open((request) => answer(request, request.body.toString()));
  const bytes =
    'POST /slow HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n';
  for (const byte of bytes) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await client.response()).body.toString(), 'hello');
  client.destroy();
});

test('chunked bodies pass both ways, with trailers that may pass and without those that must not', async () => {
  const client = await open((request) => {
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n';
    answerBytes(
      request,
      `${head}5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\nx.sum: 43\r\nContent-Length: 9\r\nConnection: x\r\n\r\n`,
    );
  });
  const trailer = 'Trailer: X-Up, Host';
  const head = `POST /t HTTP/1.1\r\nHost: gw.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n${trailer}\r\n\r\n`;
  // Backends that take trailers for fields may take a dot for a dash, too.
  const disguised = 'X.Forwarded.For: 6.6.6.6\r\nSsl.Client.Verify: SUCCESS\r\nX_Up: 1\r\n';
  client.send(`${head}3\r\nabc\r\n0\r\nX-Up: 1\r\nHost: evil.test\r\nX-Forwarded-For: 6.6.6.6\r\n${disguised}\r\n`);
  const response = await client.response();
  assert.equal(response.body.toString(), 'hello world');
  assert.equal(response.isComplete, true);
  const trailers = response.trailers.map((line) => line.toLowerCase());
  assert.deepEqual(trailers, ['x-sum: 42', 'x.sum: 43']);
  const seen = await recorder.request();
  assert.equal(seen.body.toString(), 'abc');
  assert.deepEqual(seen.trailers, ['X-Up: 1']);
  assert.match(seen.head, /^Trailer: X-Up\r?$/m);
  client.destroy();
});

test('what a chunked body has beside its data is bounded, in all of it together', async () => {
  const extended = (chunks: number) => `1;${'a'.repeat(99)}\r\nx\r\n`.repeat(chunks);
  const trailed = (fields: number) => `0\r\n${'X: y\r\n'.repeat(fields)}\r\n`;
  for (const [body, status] of [
    [`${extended(40)}${trailed(32)}`, 200],
    [`${extended(42)}${trailed(0)}`, 400],
    [`${extended(0)}${trailed(33)}`, 400],
  ] as const) {
    const client = await open((request) => answer(request, 'ok'));
    client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    assert.equal((await client.response()).status, status);
    assert.equal(recorder.take().filter(({ isComplete }) => isComplete).length, status === 200 ? 1 : 0);
    client.destroy();
  }
});

test('Expect: 100-continue gets one 100, then one final answer', async () => {
  const client = await open((request) => answer(request, request.body.toString()));
  recorder.onHead = (request) => answerBytes(request, 'HTTP/1.1 100 Continue\r\n\r\n');
  client.send('POST /e HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await waitUntil(() => client.receivedBytes > 0, 'the interim answer');
  assert.match(client.received.toString(), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  client.send('hello');
  const response = await client.response();
  assert.equal(response.body.toString(), 'hello');
  assert.deepEqual(response.interims, [100]);
  client.destroy();
});

test('a client that waits for the word of a backend which says nothing has it from us, and no second one', async () => {
  const client = await open((request) => {
    answerBytes(request, 'HTTP/1.1 100 Continue\r\n\r\n');
    answer(request, request.body.toString());
  });
  recorder.onHead = () => undefined;
  client.send('POST /e HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await waitUntil(() => client.receivedBytes > 0, 'the interim answer');
  client.send('hello');
  const response = await client.response();
  assert.deepEqual([response.status, response.body.toString(), response.interims], [200, 'hello', [100]]);
  client.destroy();
});

test('interim answers of the backend are passed on to 1.1 clients and kept from 1.0 clients', async () => {
  const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n';
  const client = await open((request) => {
    answerBytes(request, interim);
    answer(request, 'ok');
  });
  client.send(get('/hints', 'gw.test'));
  assert.deepEqual((await client.response()).interims, [103]);
  client.destroy();
  const old = await exchange({ port: sluice.httpPort }, 'GET /hints HTTP/1.0\r\nHost: gw.test\r\n\r\n');
  assert.deepEqual(old.interims, []);
  assert.equal(old.body.toString(), 'ok');
});

test('of interim answers there may be some, and not as many as a backend likes', async () => {
  for (const [count, status] of [
    [32, 200],
    [33, 502],
  ] as const) {
    const client = await open((request) => {
      answerBytes(request, 'HTTP/1.1 103 X\r\n\r\n'.repeat(count));
      answer(request, 'ok');
    });
    client.send(get('/', 'gw.test'));
    assert.equal((await client.response()).status, status);
    client.destroy();
  }
});

test('HEAD, 204 and 304 have no body, keep their fields and keep the connection', async () => {
  const client = await open((request) => {
    if (request.method === 'HEAD') answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n');
    else if (request.target === '/204') answerBytes(request, 'HTTP/1.1 204 No Content\r\n\r\n');
    else if (request.target === '/304') answerBytes(request, 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n');
    else answer(request, 'ok');
  });
  client.send(
    `HEAD /h HTTP/1.1\r\nHost: gw.test\r\n\r\n${get('/204', 'gw.test')}${get('/304', 'gw.test')}${get('/', 'gw.test')}`,
  );
  const methods = ['HEAD'];
  assert.equal((await client.response(3, methods)).body.toString(), 'ok');
  assert.equal(fieldValue(await client.response(0, methods), 'content-length'), '1234');
  assert.equal((await client.response(1, methods)).status, 204);
  assert.equal(fieldValue(await client.response(2, methods), 'etag'), '"a"');
  client.destroy();
});

test('a 1.0 client gets no chunks, and keeps its connection only when it asks', async () => {
  const client = await open((request) => {
    if (request.target === '/chunked') {
      answerBytes(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
    } else answer(request, 'ok');
  });
  client.send('GET /a HTTP/1.0\r\nHost: gw.test\r\nConnection: keep-alive\r\n\r\n');
  assert.equal(fieldValue(await client.response(), 'connection')?.toLowerCase(), 'keep-alive');
  client.send('GET /chunked HTTP/1.0\r\nHost: gw.test\r\n\r\n');
  await client.closed();
  const response = await client.response(1);
  assert.equal(response.body.toString(), 'hello');
  assert.equal(response.framing === 'chunked', false);
  assert.equal(recorder.requests[0]?.version, 'HTTP/1.1');
  client.destroy();
});

test('requests of 1.0 that name no host reach the backend whole, and those that do with the name', async () => {
  const client = await open((request) => answer(request, 'ok'));
  const hosts = ['', '', '', 'gw.test', '', 'gw.test', 'gw.test', ''];
  for (const [nth, host] of hosts.entries()) {
    client.send(`GET /nameless/${nth} HTTP/1.0\r\n${host && `Host: ${host}\r\n`}Connection: keep-alive\r\n\r\n`);
    assert.equal((await client.response(nth)).status, 200);
  }
  const seen = recorder.requests.map((request) => [request.version, request.target, fieldValue(request, 'host')]);
  assert.deepEqual(
    seen,
    hosts.map((host, nth) => ['HTTP/1.1', `/nameless/${nth}`, host]),
  );
  client.destroy();
});

test('a backend that speaks 1.0 or ends its answer by closing is passed on whole', async () => {
  const client = await open((request) => {
    const version = request.target === '/1.0' ? '1.0' : '1.1';
    answerBytes(request, `HTTP/${version} 200 OK\r\n\r\n${'x'.repeat(50_000)}`);
    request.connection.socket.end();
  });
  client.send(get('/1.0', 'gw.test'));
  const first = await client.response(0);
  assert.equal(first.body.length, 50_000);
  assert.equal(first.isComplete, true);
  assert.equal(first.version, '1.1');
  client.destroy();
  const second = await exchange({ port: sluice.httpPort }, get('/1.1', 'gw.test'));
  assert.equal(second.body.length, 50_000);
});

test('an answer that comes before the body has arrived reaches the client, and the connection is not reused', async () => {
  const client = await open(() => undefined);
  recorder.onHead = (request) => answer(request, 'too early', 403);
  client.send('POST /early HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\n\r\nabc');
  assert.equal((await client.response()).status, 403);
  client.send(`GET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n`);
  client.end();
  await client.closed();
  await waitUntil(() => recorder.requests[0]?.connection.isEnded === true, 'the backend connection to be closed');
  assert.deepEqual(
    recorder.take().map((request) => request.target),
    ['/early'],
  );
});

test('a client that has said everything may half-close and still gets its answer', async () => {
  const held: RecordedRequest[] = [];
  const client = await open((request) => held.push(request));
  client.send('POST /half HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi');
  client.end();
  await waitUntil(() => held.length === 1, 'the request');
  answer(held[0] as RecordedRequest, 'late but here');
  assert.equal((await client.response()).body.toString(), 'late but here');
  await client.closed();
});

test('a client that goes away frees the backend', async () => {
  const client = await open(() => undefined);
  client.send(get('/gone', 'gw.test'));
  const { connection } = await recorder.request();
  client.destroy();
  await waitUntil(() => connection.isEnded, 'the backend connection to be given up');
});

test('a client that goes away inside its answer frees the backend', async () => {
  const client = await open((request) => {
    answerBytes(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  });
  client.send(get('/endless', 'gw.test'));
  await waitUntil(() => client.received.includes('hello'), 'the start of the answer');
  client.destroy();
  const request = await recorder.request();
  // A client that is gone looks like one that has half-closed, until something more is sent to it.
  await waitUntil(() => {
    answerBytes(request, '5\r\nhello\r\n');
    return request.connection.isEnded;
  }, 'the backend connection to be given up');
});

test('a client that goes away in its own body aborts the backend request, which is never completed', async () => {
  const client = await open((request) => answer(request, 'ok'));
  client.send('POST /cut HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100\r\n\r\nabc');
  const seen = await recorder.request();
  client.destroy();
  await waitUntil(() => seen.connection.isEnded, 'the backend connection to be aborted');
  assert.equal(seen.isComplete, false);
});

for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
  test(`a backend that dies inside its body (${framing}) is a cut-off answer, never a clean end`, async () => {
    const client = await open((request) => {
      answerBytes(request, `HTTP/1.1 200 OK\r\n${framing}\r\n\r\n5\r\nhello\r\n`);
      request.connection.socket.end();
    });
    client.send(get('/dies', 'gw.test'));
    await client.closed();
    assert.equal((await client.response()).isComplete, false);
  });
}

test('a body that is broken from its first byte is 502, for the head that came with it has not left', async () => {
  const client = await open((request) => {
    if (request.target === '/whole') answer(request, 'ok');
    else answerBytes(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk');
  });
  client.send(get('/broken', 'gw.test'));
  const response = await client.response();
  assert.equal(response.status, 502);
  assert.equal(response.isComplete, true);
  client.send(get('/whole', 'gw.test'));
  assert.equal((await client.response(1)).body.toString(), 'ok');
});
