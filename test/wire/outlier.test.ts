import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let good: Recorder;
let bad: Recorder;
let sluice: Standalone;

function site(name: string, annotations: Record<string, string>): Manifest[] {
  const always = { 'load-balance': 'round_robin', 'outlier-base-ejection-time': '600', ...annotations };
  return [
    ingress({ name, host: `${name}.test`, paths: { '/': name }, annotations: always }),
    ...service(name, [good.port, bad.port]),
  ];
}

before(async () => {
  good = await Recorder.start({ onRequest: (request) => answer(request, 'good') });
  bad = await Recorder.start({ onRequest: (request) => answer(request, 'bad', 500) });
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ...site('first', { 'outlier-consecutive-5xx': '3', 'outlier-max-ejection-time': '600' }),
      ...site('second', {}),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of [good, bad]) await backend?.stop();
});

test('an endpoint that keeps answering 500 is left out, on every route that uses it, and that is told', async () => {
  const client = await RawClient.open({ port: sluice.httpPort });
  const bodies: string[] = [];
  for (let i = 0; i < 20; i++) {
    client.send(get('/', 'first.test'));
    bodies.push((await client.response(i)).body.toString());
  }
  assert.equal(bodies.filter((body) => body === 'bad').length, 3);
  for (let i = 20; i < 30; i++) {
    client.send(get('/', 'second.test'));
    assert.equal((await client.response(i)).body.toString(), 'good');
  }
  client.destroy();
  const metrics = await sluice.admin('/metrics');
  assert.match(metrics, /^sluice_endpoint_ejections_total\{reason="server-errors"\} 1$/m);
  const line = /"row":"default\/first\/80","endpoint":"127\.0\.0\.1:(\d+)","reason":"server-errors","forMs":600000/;
  await waitUntil(() => line.test(sluice.process.stderr), 'the log to name the endpoint and its row');
  assert.equal(line.exec(sluice.process.stderr)?.[1], String(bad.port));
});
