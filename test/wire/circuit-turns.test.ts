import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
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
  await waitUntil(() => waiting?.length === clients.length - 1 && asked.length === 1, 'all others to wait');
  isHolding = false;
  answer((first.requests[0] ?? second.requests[0]) as Recorder['requests'][number], 'ok');
  for (const client of clients) assert.equal((await client.response()).status, 200);
  assert.ok(new Set(asked.slice(0, 12)).size === 2, asked.join(''));
});
