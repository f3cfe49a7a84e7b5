import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, test } from 'node:test';
import type { Limits } from '../../proxy/listen/limits.ts';
import { Authority } from '../kit/authority.ts';
import { certificateFor } from '../kit/certificate.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Backend, type H2BackendOptions, h2Answer } from '../kit/h2backend.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, plainTls, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

function table(ports: readonly number[], protocol: 'h2' | 'h2c' = 'h2c') {
  const endpoints = ports.map((port) => ({ address: '127.0.0.1', port }));
  const tls = protocol === 'h2' ? plainTls : null;
  return plainTable(endpoints).map((each) =>
    each.kind === 'backend' ? row('backend', { id: 'b', protocol, tls }) : each,
  );
}

async function rig(
  options: H2BackendOptions = {},
  limits: Partial<Limits> = {},
): Promise<{ backend: H2Backend; gateway: TestGateway }> {
  const backend = await H2Backend.start(options);
  const gateway = await testGateway(table([backend.port], options.tls ? 'h2' : 'h2c'), limits);
  opened.push(backend, gateway);
  return { backend, gateway };
}

async function client(port: number): Promise<RawClient> {
  const opening = await RawClient.open({ port });
  opened.push({ stop: async () => opening.destroy() });
  return opening;
}

test('requests of HTTP/1.1 clients go over one HTTP/2 connection', async () => {
  const { backend, gateway } = await rig({
    onEnd: ({ stream, body, headers }) => h2Answer(stream, `${headers[':method']} ${body}`, { 'x-back': 'yes' }),
  });
  const one = await client(gateway.port);
  one.send(get('/a?b=1', 'gw.test', ['X-Test: 1', 'Connection: x-hop', 'X-Hop: 1', 'TE: trailers, deflate']));
  const first = await one.response(0);
  assert.equal(first.status, 200);
  assert.equal(first.body.toString(), 'GET ');
  assert.deepEqual(
    first.fields.find(([name]) => name === 'x-back'),
    ['x-back', 'yes'],
  );
  one.send('POST /p HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\n\r\nhello');
  assert.equal((await one.response(1)).body.toString(), 'POST hello');
  const [request] = backend.requests;
  assert.ok(request);
  assert.equal(request.headers[':path'], '/a?b=1');
  assert.equal(request.headers[':authority'], 'gw.test');
  assert.equal(request.headers[':scheme'], 'http');
  assert.equal(request.headers['x-test'], '1');
  assert.equal(request.headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(request.headers['te'], 'trailers');
  for (const name of ['host', 'connection', 'x-hop', 'transfer-encoding'])
    assert.equal(request.headers[name], undefined);
  assert.equal(backend.requests[1]?.headers['content-length'], '5');
  assert.equal(backend.sessions.length, 1);
  assert.deepEqual(
    gateway.records.map(({ status, flag, tries }) => ({ status, flag, tries })),
    [
      { status: 200, flag: '-', tries: 1 },
      { status: 200, flag: '-', tries: 1 },
    ],
  );
});

test('chunked bodies and trailers pass both ways', async () => {
  const { backend, gateway } = await rig({
    onEnd: ({ stream, body }) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7', 'set-cookie': 'no' }));
      stream.end(body);
    },
  });
  const response = await exchange(
    { port: gateway.port },
    'POST /c HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Up: 1\r\nHost: evil\r\n\r\n',
    'POST',
  );
  assert.equal(response.body.toString(), 'hello!');
  assert.equal(response.framing, 'chunked');
  assert.deepEqual(response.trailers, ['x-sum: 7']);
  assert.deepEqual(Object.entries(backend.requests[0]?.trailers ?? {}), [['x-up', '1']]);
});

test('answers without a body end where they should', async () => {
  const { backend, gateway } = await rig();
  const one = await client(gateway.port);
  const methods = ['HEAD', 'GET', 'GET', 'GET', 'GET'];
  const heads: [number, Record<string, string>][] = [
    [200, { 'content-length': '5' }],
    [204, {}],
    [304, { etag: '"x"' }],
    [200, { 'content-length': '0' }],
    [200, {}],
  ];
  for (const [index, method] of methods.entries()) {
    const [status, fields] = heads[index] as [number, Record<string, string>];
    backend.onEnd = ({ stream }) => stream.respond({ ':status': status, ...fields }, { endStream: true });
    one.send(`${method} / HTTP/1.1\r\nHost: gw.test\r\n\r\n`);
    const response = await one.response(index, methods);
    assert.equal(response.status, status);
    assert.equal(response.body.length, 0);
  }
  assert.equal(backend.sessions.length, 1);
});

test('Early Hints pass', async () => {
  const { gateway } = await rig({
    onEnd: ({ stream }) => {
      stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
      h2Answer(stream, 'ok');
    },
  });
  const response = await exchange({ port: gateway.port }, get('/', 'gw.test'));
  assert.deepEqual(response.interims, [103]);
});

test('a client that holds its body back is told to go on: servers of HTTP/2 mostly say nothing', async () => {
  const { backend, gateway } = await rig({ onEnd: ({ stream, body }) => h2Answer(stream, `${body}`) });
  const one = await client(gateway.port);
  one.send('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await waitUntil(() => one.receivedBytes > 0, 'the interim answer');
  assert.equal((await backend.request()).headers.expect, undefined);
  one.send('hello');
  const response = await one.response();
  assert.deepEqual([response.interims, response.status, response.body.toString()], [[100], 200, 'hello']);
});

test('many requests at once share connections up to the backend’s limit of streams', async () => {
  const { backend, gateway } = await rig({ maxConcurrentStreams: 10, onEnd: () => undefined });
  const clients = await Promise.all(Array.from({ length: 25 }, () => client(gateway.port)));
  // The first tells the limit.
  clients[0]?.send(get('/0', 'gw.test'));
  await backend.request(0);
  await waitUntil(() => gateway.gateway.pools.sweep.size === 1, 'the connection');
  for (const [index, each] of clients.entries()) if (index > 0) each.send(get(`/${index}`, 'gw.test'));
  await backend.request(24);
  assert.ok(backend.sessions.length >= 3 && backend.sessions.length <= 4, `${backend.sessions.length} connections`);
  for (const { stream } of backend.requests) h2Answer(stream, 'ok');
  for (const each of clients) assert.equal((await each.response(0)).status, 200);
});

test('a stream that the backend refuses goes elsewhere, even a POST', async () => {
  const { backend, gateway } = await rig();
  let refused = 0;
  backend.onEnd = ({ stream }) => {
    if (refused++ === 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else h2Answer(stream, 'ok');
  };
  const response = await exchange(
    { port: gateway.port },
    'POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi',
    'POST',
  );
  assert.equal(response.status, 200);
  assert.equal(backend.requests.length, 2);
  assert.equal(backend.requests[1]?.body.toString(), 'hi');
});

test('what a backend that goes away has not acted on goes elsewhere; what it has, ends there', async () => {
  const { backend, gateway } = await rig({ onEnd: () => undefined });
  const [one, two] = [await client(gateway.port), await client(gateway.port)];
  one.send('POST /kept HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi');
  const kept = await backend.request(0);
  two.send('POST /moved HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nyo');
  await backend.request(1);
  backend.onEnd = ({ stream }) => h2Answer(stream, 'elsewhere');
  kept.session.goaway(constants.NGHTTP2_NO_ERROR, kept.stream.id);
  assert.equal((await two.response(0)).body.toString(), 'elsewhere');
  h2Answer(kept.stream, 'here');
  assert.equal((await one.response(0)).body.toString(), 'here');
  assert.equal(backend.sessions.length, 2);
  await waitUntil(() => gateway.gateway.pools.sweep.size === 1, 'the old connection to end');
});

test('a backend that dies is another try for what may be repeated, and 502 for what may not', async () => {
  const { backend, gateway } = await rig();
  let deaths = 0;
  backend.onEnd = ({ session, stream }) => {
    if (deaths++ === 0) session.destroy();
    else h2Answer(stream, 'ok');
  };
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  deaths = 0;
  const post = 'POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi';
  assert.equal((await exchange({ port: gateway.port }, post, 'POST')).status, 502);
});

test('a stream that the backend resets is no idle connection that closed: no further try, and no further connection', async () => {
  const { backend, gateway } = await rig();
  gateway.apply([row('route', { id: 'r', retry: { attempts: 3, on: [], canRepeatUnsafe: false, withinMs: 0 } })]);
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  backend.onEnd = ({ stream }) => stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 502);
  assert.equal(backend.requests.length, 2);
  assert.equal(backend.sessions.length, 1);
});

test('an answer that breaks off is seen as broken off', async () => {
  const { backend, gateway } = await rig({
    onEnd: ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.write('half');
    },
  });
  const one = await client(gateway.port);
  one.send(get('/', 'gw.test'));
  await waitUntil(() => one.received.includes('half'), 'half of the answer');
  backend.requests[0]?.stream.destroy(new Error('broken off'));
  await one.closed();
  assert.equal(readLast(one.received), 'half\r\n');
});

/** What a client has of a chunked body: no last chunk. */
function readLast(bytes: Buffer): string {
  return bytes.toString('latin1').slice(-6);
}

test('an answer longer than its Content-Length never reaches the client whole', async () => {
  const { gateway } = await rig({
    onEnd: ({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': '2' });
      stream.end('four');
    },
  });
  const one = await client(gateway.port);
  one.send(get('/', 'gw.test', ['Connection: close']));
  await one.closed();
  assert.ok(!one.received.includes('four'));
});

test('bodies of both directions are whole, whatever the windows', async () => {
  const size = 3_000_000;
  const body = Buffer.alloc(size, 'abcdefghij');
  const { gateway } = await rig({ onEnd: ({ stream, body: got }) => h2Answer(stream, got.toString()) });
  gateway.apply([row('route', { id: 'r', bodyLimit: null })]);
  const one = await client(gateway.port);
  one.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${size}\r\n\r\n`);
  one.send(body);
  const response = await one.response(0, ['POST']);
  assert.ok(response.body.equals(body));
});

test('a client that reads nothing stops its own stream only', async () => {
  const block = Buffer.alloc(16_384, 'x');
  let written = 0;
  const { backend, gateway } = await rig({
    onEnd: ({ stream, headers }) => {
      if (headers[':path'] !== '/endless') {
        h2Answer(stream, 'quick');
        return;
      }
      stream.respond({ ':status': 200 });
      const push = () => {
        while (!stream.destroyed && written < 200_000_000) {
          written += block.length;
          if (!stream.write(block)) {
            stream.once('drain', push);
            return;
          }
        }
      };
      push();
    },
  });
  const stuck = await client(gateway.port);
  stuck.socket.pause();
  stuck.send(get('/endless', 'gw.test'));
  let before = -1;
  let stillFor = 0;
  await waitUntil(() => {
    stillFor = written === before && written > 0 ? stillFor + 1 : 0;
    before = written;
    return stillFor > 20;
  }, 'the backend to be held up');
  assert.ok(written < 50_000_000, `${written} bytes taken`);
  for (let i = 0; i < 5; i++) {
    assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).body.toString(), 'quick');
  }
  assert.equal(backend.sessions.length, 1);
  stuck.destroy();
  await waitUntil(() => backend.requests[0]?.stream.destroyed === true, 'the stream to be reset');
});

test('a client that goes takes its stream along, and the connection stays', async () => {
  const { backend, gateway } = await rig({ onEnd: () => undefined }, { halfCloseMs: 50 });
  const gone = await client(gateway.port);
  gone.send(get('/slow', 'gw.test'));
  const request = await backend.request(0);
  gone.destroy();
  await waitUntil(() => request.stream.destroyed, 'the stream to be reset');
  assert.equal(request.stream.rstCode, constants.NGHTTP2_CANCEL);
  backend.onEnd = ({ stream }) => h2Answer(stream, 'ok');
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  assert.equal(backend.sessions.length, 1);
});

test('a backend that does not answer in time is 504', async () => {
  const { gateway } = await rig({ onEnd: () => undefined });
  const timeouts = { connectMs: 5000, sendMs: 5000, readMs: 100, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  gateway.apply([row('route', { id: 'r', timeouts })]);
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 504);
});

test('an answer before the end of the upload reaches the client', async () => {
  const { gateway } = await rig({ onRequest: ({ stream }) => h2Answer(stream, 'early', { ':status': 403 } as never) });
  const one = await client(gateway.port);
  one.send('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000\r\n\r\nstart');
  const response = await one.response(0, ['POST']);
  assert.equal(response.body.toString(), 'early');
  await one.closed();
});

test('a backend that speaks HTTP/1.1 is told apart', async () => {
  const recorder = await Recorder.start();
  const gateway = await testGateway(table([recorder.port]));
  opened.push(recorder, gateway);
  recorder.onConnection = ({ socket }) => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 502);
});

test('TLS with ALPN; a backend that has HTTP/1.1 only is 502', async () => {
  const tls = await certificateFor(['gw.test']);
  const { backend, gateway } = await rig({ tls });
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  assert.equal(backend.requests[0]?.headers[':scheme'], 'https');
  const recorder = await Recorder.start({
    tls,
    onConnection: ({ socket }) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  });
  const other = await testGateway(table([recorder.port], 'h2'));
  opened.push(recorder, other);
  assert.equal((await exchange({ port: other.port }, get('/', 'gw.test'))).status, 502);
});

test('an endpoint that goes takes no more, and ends with its last request', async () => {
  const { backend, gateway } = await rig({ onEnd: () => undefined });
  const successor = await H2Backend.start();
  opened.push(successor);
  const one = await client(gateway.port);
  one.send(get('/', 'gw.test'));
  const request = await backend.request(0);
  gateway.apply([endpointsRow([{ address: '127.0.0.1', port: successor.port }])]);
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  assert.equal(successor.requests.length, 1);
  h2Answer(request.stream, 'last');
  assert.equal((await one.response(0)).body.toString(), 'last');
  await waitUntil(() => request.session.destroyed, 'the connection to end');
});

test('an idle connection ends after its time', async () => {
  const { backend, gateway } = await rig({}, { upstreamIdleMs: 50 });
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  await waitUntil(() => backend.sessions[0]?.destroyed === true, 'the connection to end');
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 200);
  assert.equal(backend.sessions.length, 2);
});

test('a websocket finds no way over HTTP/2', async () => {
  const { gateway } = await rig();
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x', 'Sec-WebSocket-Version: 13'];
  assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test', upgrade))).status, 501);
});

test('an HTTP/2 backend with TLS has to prove who it is where it is told to', async () => {
  const root = await Authority.root();
  const tls = await root.issue({ names: ['pod.test'] });
  const backend = await H2Backend.start({ tls });
  opened.push(backend);
  const verified = (name: string) => {
    const verify = { caSecretId: 'ca', names: [name], depth: 1 };
    const rows = table([backend.port], 'h2').filter(({ kind }) => kind !== 'backend');
    const speech = row('backend', { id: 'b', protocol: 'h2', tls: { ...plainTls, verify } });
    return testGateway([...rows, speech, row('secret', { id: 'ca', value: root.cert })]);
  };
  const good = await verified('pod.test');
  const bad = await verified('other.test');
  opened.push(good, bad);
  assert.equal((await exchange({ port: good.port }, get('/', 'gw.test'))).status, 200);
  assert.equal((await exchange({ port: bad.port }, get('/', 'gw.test'))).status, 502);
  assert.deepEqual([good.records[0]?.flag, bad.records[0]?.flag], ['-', 'UV']);
  assert.equal(backend.requests.length, 1);
});
