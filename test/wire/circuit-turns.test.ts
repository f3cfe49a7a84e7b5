import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Endpoint, Endpoints } from '../../proxy/table/backend.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend, h2Answer } from '../kit/h2backend.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('who waits for an endpoint has a turn, though others wait for the one that has the only connection', async () => {
  const asked: number[] = [];
  let isHolding = true;
  const backends = [0, 1].map((nth) =>
    Recorder.start({
      onRequest(request) {
        asked.push(nth);
        if (!isHolding) answer(request, 'ok');
      },
    }),
  );
  const [first, second] = (await Promise.all(backends)) as [Recorder, Recorder];
  const circuit = { connections: 1, pending: 0, requests: 0, retries: 0 };
  const at = ({ port }: Recorder) => ({ address: '127.0.0.1', port });
  const gateway = await testGateway([...plainTable([at(first), at(second)]), row('backend', { id: 'b', circuit })]);
  opened.push(first, second, gateway);
  const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.open({ port: gateway.port })));
  for (const client of clients) client.send(get('/', 'a'));
  for (const client of clients) opened.push({ stop: async () => client.destroy() });
  const waiting = gateway.live.backend('b')?.state.circuit.waiting;
  await waitUntil(() => waiting?.size === clients.length - 1 && asked.length === 1, 'all others to wait');
  isHolding = false;
  answer((first.requests[0] ?? second.requests[0]) as Recorder['requests'][number], 'ok');
  for (const client of clients) assert.equal((await client.response()).status, 200);
  assert.ok(new Set(asked.slice(0, 12)).size === 2, asked.join(''));
});

test('a stream that ends is for who waits at its endpoint when the one that has waited longest can do nothing with it', async () => {
  const [slow, quick] = [
    await H2Backend.start({ maxConcurrentStreams: 1 }),
    await H2Backend.start({ maxConcurrentStreams: 1 }),
  ];
  const circuit = { connections: 2, pending: 0, requests: 0, retries: 0 };
  const at = ({ port }: H2Backend) => ({ address: '127.0.0.1', port });
  const gateway = await testGateway([
    ...plainTable([at(slow), at(quick)]),
    row('backend', { id: 'b', protocol: 'h2c', circuit }),
  ]);
  opened.push(slow, quick, gateway);
  // How many streams they take is known then.
  for (let nth = 0; nth < 2; nth++) await exchange({ port: gateway.port }, get('/', 'a'));
  for (const backend of [slow, quick]) backend.onEnd = () => undefined;
  const clients = await Promise.all(Array.from({ length: 24 }, () => RawClient.open({ port: gateway.port })));
  for (const client of clients) {
    opened.push({ stop: async () => client.destroy() });
    client.send(get('/', 'a'));
  }
  const waiting = gateway.live.backend('b')?.state.circuit.waiting;
  await waitUntil(() => waiting?.size === clients.length - 2, 'all others to wait');
  quick.onEnd = ({ stream }) => h2Answer(stream, 'ok');
  h2Answer((await quick.request(1)).stream, 'ok');
  await waitUntil(() => quick.requests.length === 13, 'all to have been at the quick one');
});

test('an error is told as it came when the limit of requests was lowered and leaves no place for another try', async () => {
  const backend = await Recorder.start({ onRequest: () => undefined });
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]).map((each) => {
    if (each.kind !== 'route') return each;
    return row('route', { ...each.row, retry: { ...each.row.retry, on: [500] } });
  });
  const gateway = await testGateway(rows);
  opened.push(backend, gateway);
  const clients = [await RawClient.open({ port: gateway.port }), await RawClient.open({ port: gateway.port })];
  for (const client of clients) {
    opened.push({ stop: async () => client.destroy() });
    client.send(get('/', 'a'));
  }
  await waitUntil(() => backend.requests.length === 2, 'both requests');
  gateway.apply([row('backend', { id: 'b', circuit: { connections: 0, pending: 0, requests: 1, retries: 0 } })]);
  answer(backend.requests[0] as Recorder['requests'][number], 'bad', 500);
  await waitUntil(() => gateway.records.length === 1, 'the record');
  const { status, flag, tries, retryRefusal, overflow } = gateway.records[0] ?? {};
  assert.deepEqual([status, flag, tries, retryRefusal, overflow], [500, '-', 1, 'limit', 'requests']);
  assert.deepEqual(gateway.live.backend('b')?.state.circuit.requests, 1);
});

const leavings = [
  { protocol: 'http', leaves: 'the tables' },
  { protocol: 'h2c', leaves: 'the tables' },
  { protocol: 'http', leaves: 'its backend, and is in the row of another,' },
] as const;
for (const { protocol, leaves } of leavings) {
  test(`who waits for an endpoint that leaves ${leaves} goes to one that has come, by ${protocol}`, async () => {
    const releases: (() => void)[] = [];
    const take = (path: unknown, release: () => void) => {
      if (path === '/held') releases.push(release);
      else release();
    };
    const start = async (body: string) =>
      protocol === 'http'
        ? Recorder.start({ onRequest: (request) => take(request.target, () => answer(request, body)) })
        : H2Backend.start({
            maxConcurrentStreams: 1,
            onEnd: ({ headers, stream }) => take(headers[':path'], () => h2Answer(stream, body)),
          });
    const [leaving, coming] = [await start('leaving'), await start('coming')];
    const at = ({ port }: { port: number }) => ({ address: '127.0.0.1', port });
    const circuit = { connections: 1, pending: 0, requests: 0, retries: 0 };
    const gateway = await testGateway([...plainTable([at(leaving)]), row('backend', { id: 'b', protocol, circuit })]);
    opened.push(leaving, coming, gateway);
    await exchange({ port: gateway.port }, get('/', 'a'));
    const held = await RawClient.open({ port: gateway.port });
    held.send(get('/held', 'a'));
    await waitUntil(() => releases.length === 1, 'the first to be held');
    const late = await RawClient.open({ port: gateway.port });
    for (const client of [held, late]) opened.push({ stop: async () => client.destroy() });
    late.send(get('/', 'a'));
    const state = gateway.live.backend('b')?.state;
    await waitUntil(() => state?.circuit.waiting.size === 1, 'the second to wait');
    const [endpoint] = (endpointsRow([at(leaving)]).row as Endpoints).endpoints as [Endpoint];
    const others = row('endpoints', { id: 'o', backendIds: ['c'], endpoints: [endpoint] });
    if (leaves !== 'the tables') gateway.apply([row('backend', { id: 'c' }), others]);
    gateway.apply([endpointsRow([at(coming)])]);
    releases[0]?.();
    assert.equal((await held.response()).body.toString(), 'leaving');
    assert.equal((await late.response()).body.toString(), 'coming');
    assert.deepEqual([state?.circuit.requests, state?.circuit.pending, leaving.requests.length], [0, 0, 2]);
  });
}
