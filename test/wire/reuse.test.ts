import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { Load } from '../kit/load.ts';
import { everythingTo } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable } from '../kit/rows.ts';
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
