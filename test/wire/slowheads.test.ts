import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setInterval } from 'node:timers/promises';
import { everythingTo } from '../kit/manifests.ts';
import { childrenOf, cpuSeconds } from '../kit/procfs.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { type RecordedConnection, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: () => undefined });
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port) });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** CPU time of the worker while heads of answers, begun with so many bytes, go on byte by byte. They end well. */
async function costOfDrips(bytes: number): Promise<number> {
  const clients = await Promise.all(Array.from({ length: 32 }, () => RawClient.open({ port: sluice.httpPort })));
  for (const client of clients) client.send(get('/', 'gw.test'));
  await waitUntil(() => recorder.requests.length === clients.length, 'the requests to reach the backend');
  const backends: RecordedConnection[] = recorder.take().map(({ connection }) => connection);
  for (const { socket } of backends) socket.write(`HTTP/1.1 200 OK\r\nX-Long: ${'a'.repeat(bytes)}`);
  const [worker = 0] = childrenOf(sluice.process.pid);
  const before = cpuSeconds(worker);
  let rounds = 0;
  for await (const _ of setInterval(1)) {
    if (++rounds > 400) break;
    for (const { socket } of backends) socket.write('b');
  }
  for (const { socket } of backends) socket.write('\r\nContent-Length: 2\r\n\r\nok');
  for (const client of clients) {
    const { status, body } = await client.response();
    assert.equal(`${status} ${body}`, '200 ok');
    client.destroy();
  }
  return cpuSeconds(worker) - before;
}

test('a long head of a backend that comes byte by byte costs what its bytes cost, and not its length for each', async () => {
  await costOfDrips(10);
  const short = await costOfDrips(10);
  const long = await costOfDrips(60_000);
  assert.ok(long < 3 * short + 0.05, `${long} s of CPU, of short heads ${short} s`);
});
