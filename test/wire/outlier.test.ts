import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let good: Recorder;
let bad: Recorder;
let poor: Recorder;
let pair: readonly [Recorder, Recorder];
/** Of the pair: it closes the connection instead of an answer. */
let sick: Recorder;
let sluice: Standalone;

function site(name: string, annotations: Record<string, string>, backends = [good, bad]): Manifest[] {
  const always = { 'load-balance': 'round_robin', 'outlier-base-ejection-time': '600', ...annotations };
  return [
    ingress({ name, host: `${name}.test`, paths: { '/': name }, annotations: always }),
    ...service(
      name,
      backends.map(({ port }) => port),
    ),
  ];
}

before(async () => {
  good = await Recorder.start({ onRequest: (request) => answer(request, 'good') });
  bad = await Recorder.start({ onRequest: (request) => answer(request, 'bad', 500) });
  poor = await Recorder.start({ onRequest: (request) => answer(request, 'poor', 500) });
  pair = [await Recorder.start(), await Recorder.start()];
  for (const [at, each] of pair.entries()) {
    each.onRequest = (request) =>
      each === sick ? request.connection.socket.destroy() : answer(request, at === 0 ? 'one' : 'two');
  }
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ...site('first', { 'outlier-consecutive-5xx': '3', 'outlier-max-ejection-time': '600' }),
      ...site('second', {}),
      ...site('alone', { 'outlier-consecutive-5xx': '3' }, [poor]),
      ...site('pair', { 'outlier-consecutive-gateway-errors': '5', 'outlier-max-ejection-time': '600' }, [...pair]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of [good, bad, poor, ...(pair ?? [])]) await backend?.stop();
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

test('who fails as much and has nobody to stand in is in use, which is what is told', async () => {
  const client = await RawClient.open({ port: sluice.httpPort });
  for (let i = 0; i < 5; i++) {
    client.send(get('/', 'alone.test'));
    assert.equal((await client.response(i)).body.toString(), 'poor');
  }
  client.destroy();
  const metrics = await sluice.admin('/metrics');
  assert.match(metrics, /^sluice_endpoint_ejections_total\{reason="server-errors"\} 1$/m);
  assert.match(metrics, /^sluice_endpoint_ejections_withheld_total\{reason="server-errors"\} 1$/m);
  const line = /"row":"default\/alone\/80"[^\n]*"msg":"endpoint fails and stays in use/;
  await waitUntil(() => line.test(sluice.process.stderr), 'the log to say so');
});

test('whoever is left out is asked when everyone else has failed, and is back when it answers', async () => {
  const [one, two] = pair;
  const client = await RawClient.open({ port: sluice.httpPort });
  const asked: string[] = [];
  const ask = async () => {
    client.send(get('/', 'pair.test'));
    const { status, body } = await client.response(asked.length);
    asked.push(status === 200 ? body.toString() : `${status}`);
  };
  sick = one;
  while (!/"reason":"gateway-errors"/.test(sluice.process.stderr)) await ask();
  assert.ok(
    asked.every((body) => body === 'two'),
    asked.join(' '),
  );
  sick = two;
  const before = asked.length;
  for (let i = 0; i < 5; i++) await ask();
  assert.deepEqual(asked.slice(before), Array(5).fill('one'));
  client.destroy();
});
