import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

async function rig(): Promise<{ recorder: Recorder; gateway: TestGateway; client: RawClient }> {
  const recorder = await Recorder.start();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const client = await RawClient.open({ port: gateway.port });
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  return { recorder, gateway, client };
}

test('a GET and a POST go over one client and one backend connection', async () => {
  const { recorder, gateway, client } = await rig();
  client.send(get('/a?b=1', 'gw.test', ['X-Test:  a ', 'X_Under: 1']));
  const first = await client.response(0);
  assert.equal(first.status, 200);
  assert.equal(first.body.toString(), 'ok');
  client.send('POST /post HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5\r\n\r\nhello');
  assert.equal((await client.response(1)).status, 200);
  const [one, two] = recorder.requests;
  assert.equal(one?.target, '/a?b=1');
  assert.ok(one !== undefined && two !== undefined);
  assert.equal(fieldValue(one, 'x-test'), 'a');
  assert.equal(fieldValue(one, 'x_under'), undefined);
  assert.equal(fieldValue(one, 'x-forwarded-for'), '127.0.0.1');
  assert.match(fieldValue(one, 'x-request-id') ?? '', /^[0-9a-f]{32}$/);
  assert.equal(two.body.toString(), 'hello');
  assert.equal(recorder.connections.length, 1);
  assert.deepEqual(
    gateway.records.map(({ method, status, flag }) => ({ method, status, flag })),
    [
      { method: 'GET', status: 200, flag: '-' },
      { method: 'POST', status: 200, flag: '-' },
    ],
  );
});

test('chunked bodies and trailers pass both ways', async () => {
  const { recorder, client } = await rig();
  recorder.onRequest = (request) =>
    answerBytes(
      request,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\nSet-Cookie: no\r\n\r\n',
    );
  client.send(
    'POST /c HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Up: 1\r\nHost: evil\r\n\r\n',
  );
  const response = await client.response(0);
  assert.equal(response.body.toString(), 'abcde');
  assert.match(client.received.toString('latin1'), /X-Sum: 1\r\n\r\n$/);
  assert.doesNotMatch(client.received.toString('latin1'), /Set-Cookie/);
  assert.equal((await recorder.request(0)).body.toString(), 'hello!');
});

test('pipelined requests are answered in order, a bad one after the good ones', async () => {
  const { client, recorder } = await rig();
  recorder.onRequest = (request) => answer(request, request.target);
  client.send(`${get('/1', 'gw.test') + get('/2', 'gw.test')}GET /3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`);
  assert.equal((await client.response(0)).body.toString(), '/1');
  assert.equal((await client.response(1)).body.toString(), '/2');
  assert.equal((await client.response(2)).status, 400);
  await waitUntil(() => client.isEnded, 'the connection to end');
});

test('a body of a megabyte passes unchanged both ways', async () => {
  const { client, recorder } = await rig();
  const body = Buffer.alloc(1_000_000, 'abcdefghijklmnopqrstuvwxyz0123456789');
  recorder.onRequest = (request) =>
    answerBytes(
      request,
      Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${request.body.length}\r\n\r\n`), request.body]),
    );
  client.send(`POST /big HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${body.length}\r\n\r\n`);
  client.send(body);
  const response = await client.response(0);
  assert.ok(response.body.equals(body));
});

test('a backend that is not there is 502 with a page, one that dies in a body truncates', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = (request) => {
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    request.connection.socket.end();
  };
  client.send(get('/', 'gw.test'));
  await waitUntil(() => client.isClosed, 'the client to be cut off');
  assert.match(client.received.toString(), /hello$/);
  await recorder.stop();
  const second = await RawClient.open({ port: gateway.port });
  second.send(get('/', 'gw.test', ['Accept: application/json']));
  const response = await second.response(0);
  assert.equal(response.status, 502);
  assert.equal(JSON.parse(response.body.toString()).gateway, 'Sluice');
  second.destroy();
  assert.deepEqual(
    gateway.records.map(({ flag }) => flag),
    ['UC', 'UF'],
  );
});

/** Requests in flight to the only endpoint, by which the balance goes. */
function inFlight({ live }: TestGateway): number | undefined {
  const facts = { clientAddress: '', hostname: '', target: '/', path: '/', query: '', isTls: false, routePath: '/' };
  return live.backend('b')?.state.pick({ ...facts, header: () => undefined }, [], performance.now())?.endpoint.inFlight;
}

test('websocket bytes pass both ways, and the end of one side ends the other', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = () => undefined;
  recorder.onHead = (request) => {
    request.connection.socket.removeAllListeners('data');
    request.connection.socket.on('data', (bytes: Buffer) => request.connection.socket.write(`<${bytes}>`));
    answerBytes(request, 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi');
  };
  client.send(
    get('/ws', 'gw.test', [
      'Connection: keep-alive, Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
    ]),
  );
  await waitUntil(() => client.received.toString().endsWith('hi'), 'the first bytes');
  client.send('ping');
  await waitUntil(() => client.received.toString().endsWith('<ping>'), 'the echo');
  assert.equal(inFlight(gateway), 1);
  client.end();
  await waitUntil(() => client.isEnded, 'the end');
  assert.equal(inFlight(gateway), 0);
});

test('two pipelined requests and a FIN get both answers', async () => {
  const { client, recorder } = await rig();
  recorder.onRequest = (request) => answer(request, request.target);
  client.send(get('/1', 'gw.test') + get('/2', 'gw.test'));
  client.end();
  assert.equal((await client.response(0)).body.toString(), '/1');
  assert.equal((await client.response(1)).body.toString(), '/2');
  await waitUntil(() => client.isEnded, 'the end');
});

/** Enough turns of the gateway's loop for all that its clients have sent so far. */
async function turns(gateway: TestGateway): Promise<void> {
  const other = await RawClient.open({ port: gateway.port });
  const own = 'OPTIONS / HTTP/1.1\r\nHost: gw.test\r\nMax-Forwards: 0\r\n\r\n';
  for (let i = 0; i < 20; i++) {
    other.send(own);
    await other.response(i);
  }
  other.destroy();
}

test('pipelined requests before a FIN are all answered, one that needs no backend among them', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = (request) => request.target === '/3' && answer(request, '/3');
  client.send(get('/1', 'gw.test'));
  const first = await recorder.request(0);
  client.send(`OPTIONS /2 HTTP/1.1\r\nHost: gw.test\r\nMax-Forwards: 0\r\n\r\n${get('/3', 'gw.test')}`);
  client.end();
  await turns(gateway);
  answer(first, '/1');
  assert.equal((await client.response(0)).body.toString(), '/1');
  assert.equal((await client.response(1)).status, 200);
  assert.equal((await client.response(2)).body.toString(), '/3');
  await waitUntil(() => client.isEnded, 'the end');
});

test('who half-closes before a WebSocket begins is half-closed for the backend, too', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = () => undefined;
  client.send(
    get('/ws', 'gw.test', [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
    ]),
  );
  const request = await recorder.request(0);
  client.end();
  await turns(gateway);
  answerBytes(
    request,
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi',
  );
  await waitUntil(() => request.connection.isEnded, 'the end of the client to reach the backend');
  await waitUntil(() => client.isEnded, 'the end');
  assert.match(client.received.toString(), /^HTTP\/1.1 101 [\s\S]*\r\n\r\nhi$/);
});

test('who pipelines without reading is not answered beyond what the sockets hold', async () => {
  const { client, recorder, gateway } = await rig();
  const body = 'x'.repeat(40_000);
  recorder.onRequest = (request) => answer(request, request.target === '/other' ? 'ok' : body);
  client.socket.pause();
  for (let i = 0; i < 400; i++) client.send(get(`/${i}`, 'gw.test'));
  await recorder.request(3);
  // Enough turns of the loop for all of them, were they not held back.
  const other = await RawClient.open({ port: gateway.port });
  for (let i = 0; i < 400; i++) {
    other.send(get('/other', 'gw.test'));
    await other.response(i);
  }
  other.destroy();
  const before = recorder.requests.filter(({ target }) => target !== '/other').length;
  client.socket.resume();
  assert.equal((await client.response(399)).body.length, body.length);
  assert.ok(before < 400, `${before} of 400 requests were forwarded before anything was read`);
});

test('of what comes behind a request that waits little is read', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = (request) => (request.target === '/other' ? answer(request, 'ok') : undefined);
  client.send(get('/waits', 'gw.test'));
  await recorder.request(0);
  // More than the buffers of the kernel hold.
  client.send(Buffer.alloc(32 << 20, 'x'));
  // Enough turns of the loop for all of it.
  const other = await RawClient.open({ port: gateway.port });
  for (let i = 0; i < 500; i++) {
    other.send(get('/other', 'gw.test'));
    await other.response(i);
  }
  other.destroy();
  assert.notEqual(client.socket.writableLength, 0);
});

test('a request that outlasts its route is 504, and its backend connection is given up', async () => {
  const recorder = await Recorder.start({ onRequest: () => undefined });
  const rows = plainTable([{ address: '127.0.0.1', port: recorder.port }]).map((each) =>
    each.kind === 'route'
      ? { ...each, row: { ...each.row, timeouts: { ...each.row.timeouts, requestMs: 300 } } }
      : each,
  );
  const gateway = await testGateway(rows);
  const client = await RawClient.open({ port: gateway.port });
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  client.send(get('/', 'gw.test'));
  assert.equal((await client.response(0)).status, 504);
  await waitUntil(() => recorder.connections[0]?.isEnded === true, 'the backend connection to be given up');
  assert.equal(gateway.records[0]?.flag, 'DT');
});

test('a drain answers what is in flight, ends idle connections and resolves', async () => {
  const { client, recorder, gateway } = await rig();
  recorder.onRequest = () => undefined;
  const idle = await RawClient.open({ port: gateway.port });
  client.send(get('/', 'gw.test'));
  const request = await recorder.request(0);
  const drained = gateway.gateway.drain(60_000);
  await waitUntil(() => idle.isEnded, 'the idle connection to end');
  answer(request, 'late');
  const response = await client.response(0);
  assert.equal(response.body.toString(), 'late');
  assert.match(client.received.toString(), /Connection: close/);
  client.end();
  await drained;
});
