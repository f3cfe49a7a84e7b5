import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Endpoints } from '../../proxy/table/backend.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend, h2Answer } from '../kit/h2backend.ts';
import { Load } from '../kit/load.ts';
import { everythingTo } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<unknown> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('under steady load, 999 of 1,000 requests and more go over a connection that there was', async (t) => {
  // At first, answers wait until every client has asked: more connections than that are never needed.
  const clients = 300;
  const held: RecordedRequest[] = [];
  const backend = await Recorder.start({ onRequest: (request) => held.push(request) });
  const sluice = await Standalone.start({ manifests: everythingTo(backend.port), workers: 2 });
  opened.push(backend, sluice);
  const load = Load.start({ port: sluice.httpPort, host: 'gw.test', connections: clients, requestsPerSecond: 1_000 });
  await waitUntil(() => held.length === clients, 'all clients to ask');
  backend.onRequest = (request) => setTimeout(() => answer(request, 'ok'), 2 * Math.random());
  for (const request of held) answer(request, 'ok');
  const [connections, answered] = [backend.connections.length, load.report.answered];
  await waitUntil(() => load.report.answered >= answered + 4_000, 'the steady load');
  const requests = load.report.answered - answered;
  const fresh = backend.connections.length - connections;
  assert.deepEqual((await load.stop()).failures, []);
  t.diagnostic(`${fresh} new connections for ${requests} requests`);
  assert.ok(fresh / requests <= 0.001);
});

test('an endpoint that is removed ends what it is at, gets nothing new, not even retries, and its idle connections go', async () => {
  const held: (() => void)[] = [];
  const leaving = await Recorder.start({ onRequest: (request) => held.push(() => answer(request, 'late')) });
  const staying = await Recorder.start({ onRequest: (request) => request.connection.socket.destroy() });
  const at = ({ port }: Recorder) => ({ address: '127.0.0.1', port });
  const gateway = await testGateway(plainTable([at(leaving)]));
  opened.push(leaving, staying, gateway);
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.send(get('/', 'a'));
  await waitUntil(() => held.length === 1, 'the request');
  gateway.apply([endpointsRow([at(staying)])]);
  assert.equal((await exchange({ port: gateway.port }, get('/', 'a'))).status, 502);
  assert.equal(staying.requests.length, 3);
  held[0]?.();
  assert.equal((await client.response()).body.toString(), 'late');
  await waitUntil(() => leaving.connections.every(({ isEnded }) => isEnded), 'its connection to end');
  assert.equal(leaving.requests.length, 1);
});

test('a kept connection that ends when its endpoint has left the tables is replaced at another endpoint, not there, whatever is retried', async () => {
  const [leaving, staying] = [await Recorder.start(), await Recorder.start()];
  const at = ({ port }: Recorder) => ({ address: '127.0.0.1', port });
  const retry = { attempts: 3, on: [], canRepeatUnsafe: false, withinMs: 0 };
  const gateway = await testGateway([...plainTable([at(leaving)]), row('route', { id: 'r', retry })]);
  opened.push(leaving, staying, gateway);
  await exchange({ port: gateway.port }, get('/', 'a'));
  leaving.onRequest = () => undefined;
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.send(get('/', 'a'));
  const { connection } = await leaving.request(1);
  gateway.apply([endpointsRow([at(staying)])]);
  leaving.onRequest = (request) => answer(request, 'still here');
  connection.socket.resetAndDestroy();
  assert.equal((await client.response()).body.toString(), 'ok');
  assert.deepEqual([leaving.requests.length, staying.requests.length], [2, 1]);
});

/** A request is with the only endpoint, on a connection that had one before. */
async function askedOnKept() {
  const leaving = await Recorder.start();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: leaving.port }]));
  opened.push(leaving, gateway);
  await exchange({ port: gateway.port }, get('/', 'a'));
  leaving.onRequest = () => undefined;
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.send(get('/', 'a'));
  const { connection } = await leaving.request(1);
  return { leaving, gateway, client, connection };
}

test('nor is it replaced there where its backend has no other, though a row of another backend names it still', async () => {
  const { leaving, gateway, client, connection } = await askedOnKept();
  const { endpoints } = endpointsRow([{ address: '127.0.0.1', port: leaving.port }]).row as Endpoints;
  gateway.apply([row('backend', { id: 'c' }), row('endpoints', { id: 'o', backendIds: ['c'], endpoints })]);
  gateway.apply([endpointsRow([])]);
  leaving.onRequest = (request) => answer(request, 'still here');
  connection.socket.resetAndDestroy();
  assert.equal((await client.response()).status, 502);
  assert.equal(leaving.requests.length, 2);
});

test('nor is it asked again when its backend is gone: the address may be that of a stranger by then', async () => {
  const { leaving, gateway, client, connection } = await askedOnKept();
  const deletes = (['route', 'backend', 'endpoints'] as const).map((kind) => ({ kind, id: kind.slice(0, 1) }));
  gateway.live.apply({ upserts: [], deletes }, 'without it', performance.now());
  leaving.onRequest = (request) => answer(request, 'of a stranger');
  connection.socket.resetAndDestroy();
  assert.equal((await client.response()).status, 502);
  assert.equal(leaving.requests.length, 2);
});

for (const protocol of ['http', 'h2c'] as const) {
  test(`what waited for a connection of ${protocol} while its endpoint left the tables leaves no connection behind`, async () => {
    const h1 = await Recorder.start({ onRequest: () => undefined });
    const h2 = await H2Backend.start({ maxConcurrentStreams: 2, onEnd: () => undefined });
    const at = ({ port }: { port: number }) => ({ address: '127.0.0.1', port });
    const circuit = { connections: 1, pending: 0, requests: 0, retries: 0 };
    const leaving = protocol === 'http' ? h1 : h2;
    const gateway = await testGateway([...plainTable([at(leaving)]), row('backend', { id: 'b', protocol, circuit })]);
    opened.push(h1, h2, gateway);
    const ask = async () => {
      const client = await RawClient.open({ port: gateway.port });
      opened.push({ stop: async () => client.destroy() });
      client.send(get('/', 'a'));
      return client;
    };
    const answerTo = async (index: number) => {
      if (protocol === 'http') answer(await h1.request(index), 'ok');
      else h2Answer((await h2.request(index)).stream, 'ok');
    };
    const warm = await ask();
    await answerTo(0);
    await warm.response();
    const clients = [await ask(), await ask(), await ask(), await ask()];
    const waiting = gateway.live.backend('b')?.state.circuit.waiting;
    await waitUntil(() => waiting?.size === (protocol === 'http' ? 3 : 2), 'all others to wait');
    gateway.apply([endpointsRow([])]);
    for (const [nth] of clients.entries()) await answerTo(nth + 1);
    for (const client of clients) assert.equal((await client.response()).status, 200);
    await waitUntil(() => h1.connections.every(({ isEnded }) => isEnded) && h2.openSessions.length === 0, 'the end');
  });
}

/** A client whose first request has come to its backend, which is to answer it. */
async function firstAsked() {
  const recorder = await Recorder.start({ onRequest: () => undefined });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const client = await RawClient.open({ port: gateway.port });
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  client.send(get('/first', 'a'));
  return { recorder, client, first: await recorder.request(0) };
}

for (const [status, framing, late] of [
  [204, 'Content-Length: 39', 'HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nevil'],
  [204, 'Transfer-Encoding: chunked', '0\r\n\r\n'],
  [304, 'Transfer-Encoding: chunked', '0\r\n\r\n'],
] as const) {
  test(`the body that ${status} with ${framing} must not have is no answer to the next request, however late it comes`, async () => {
    const { recorder, client, first } = await firstAsked();
    answerBytes(first, `HTTP/1.1 ${status} X\r\n${framing}\r\n\r\n`);
    assert.equal((await client.response()).status, status);
    client.send(get('/second', 'a'));
    const second = await recorder.request(1);
    answerBytes(first, late);
    answer(second, 'its own');
    assert.equal((await client.response(1)).body.toString(), 'its own');
    assert.notEqual(second.connection, first.connection);
  });
}

test('nor is what follows the answer that was read out of the body of a 103', async () => {
  const { recorder, client, first } = await firstAsked();
  answerBytes(first, `HTTP/1.1 103 X\r\nContent-Length: 39\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nevil`);
  assert.equal((await client.response()).status, 200);
  client.send(get('/second', 'a'));
  const second = await recorder.request(1);
  answer(first, 'of the first');
  answer(second, 'its own');
  assert.equal((await client.response(1)).body.toString(), 'its own');
});
