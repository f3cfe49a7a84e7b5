import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let slow: Recorder;
let fast: Recorder[];
let sluice: Standalone;

before(async () => {
  slow = await Recorder.start({ onRequest: (request) => setTimeout(() => answer(request, 'slow'), 2_000) });
  fast = [await Recorder.start(), await Recorder.start()];
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ...['least_request', 'ewma'].flatMap((balance) => [
        ingress({
          name: balance.replace('_', '-'),
          host: `${balance.replace('_', '-')}.test`,
          paths: { '/': balance.replace('_', '-') },
          annotations: { 'load-balance': balance },
        }),
        ...service(
          balance.replace('_', '-'),
          [slow, ...fast].map(({ port }) => port),
        ),
      ]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of [slow, ...fast]) await backend?.stop();
});

for (const host of ['least-request.test', 'ewma.test']) {
  test(`${host}: a backend that answers after two seconds gets at most a tenth of the requests`, async (t) => {
    const backends = [slow, ...fast];
    const load = Load.start({ port: sluice.httpPort, host, connections: 30, requestsPerSecond: 300 });
    await waitUntil(() => load.report.answered >= 100, 'the balance to have seen who is slow');
    for (const backend of backends) backend.take();
    await waitUntil(() => load.report.answered >= 900, 'enough requests to judge');
    const [slowCount = 0, ...others] = backends.map(({ requests }) => requests.length);
    const all = others.reduce((sum, count) => sum + count, slowCount);
    t.diagnostic(`${slowCount} of ${all} requests went to the slow one`);
    assert.ok(slowCount / all <= 0.1);
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
  });
}
