import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { request } from 'undici';
import { ingress, service } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { readScrape } from '../kit/scrape.ts';
import { Standalone } from '../kit/sluice.ts';

describe('--metrics-compat ingress-nginx', { timeout: 120_000 }, () => {
  let backend: Recorder;
  let standalone: Standalone;

  before(async () => {
    backend = await Recorder.start({ onRequest: (asked) => answer(asked, 'web', statusOf(asked.target)) });
    standalone = await Standalone.start({ manifests: objects(), args: ['--metrics-compat', 'ingress-nginx'] });
  });

  after(async () => {
    await standalone?.stop();
    await backend?.stop();
  });

  const statusOf = (target: string) => Number(/status=(\d+)/.exec(target)?.[1] ?? 200);
  const objects = () => [
    ...service('web', [backend.port], 'shop'),
    ingress({ name: 'cart', namespace: 'shop', host: 'shop.example', paths: { '/a': 'web', '/b': 'web' } }),
    ingress({ name: 'odd', namespace: 'shop', host: 'shop.example', paths: { '/odd': 'web' } }),
  ];
  const ask = async (path: string, method: 'GET' | 'POST' | 'DELETE' = 'GET') => {
    const answered = await request(`http://127.0.0.1:${standalone.httpPort}${path}`, {
      method,
      headers: { host: 'shop.example' },
    });
    await answered.body.dump();
    return answered.statusCode;
  };
  const samples = async (metric: string) => {
    const { samples } = readScrape(await standalone.admin('/metrics'));
    return samples.filter((sample) => sample.metric === `nginx_ingress_controller_${metric}`);
  };

  test('the seven metrics, by Ingress, Service, method and status, over all routes of an Ingress', async () => {
    for (const path of ['/a', '/b', '/a']) assert.equal(await ask(path), 200);
    assert.equal(await ask('/b', 'POST'), 200);
    const counted = (await samples('requests')).map(({ labels, value }) => ({ ...labels, value }));
    const common = {
      controller_class: 'sluice.dev/ingress-controller',
      controller_pod: 'standalone',
      namespace: 'shop',
    };
    const named = { ...common, ingress: 'cart', service: 'web' };
    assert.deepEqual(counted, [
      { ...named, method: 'GET', status: '200', value: 3 },
      { ...named, method: 'POST', status: '200', value: 1 },
    ]);
    for (const metric of ['request', 'connect', 'header', 'response']) {
      const [get] = await samples(`${metric}_duration_seconds_count`);
      assert.equal(get?.value, 3, metric);
      const last = (await samples(`${metric}_duration_seconds_bucket`)).find(({ labels }) => labels['le'] === '+Inf');
      assert.equal(last?.value, 3, metric);
    }
    const [sent] = await samples('response_size_sum');
    assert.ok((sent?.value ?? 0) >= 3 * 'web'.length);
    assert.equal((await samples('request_size_count'))[0]?.value, 3);
  });

  test('a backend that makes up codes has no series for each of them', async () => {
    for (let status = 600; status > 200; status--) {
      if (status !== 304) await ask(`/odd?status=${status}`, 'DELETE');
    }
    const counted = (await samples('requests')).filter(({ labels }) => labels['ingress'] === 'odd');
    assert.ok(counted.length < 90, `${counted.length} series`);
    assert.equal(
      counted.reduce((sum, { value }) => sum + value, 0),
      399,
    );
    assert.ok(counted.some(({ labels }) => labels['status'] === '418'));
    assert.ok((counted.find(({ labels }) => labels['status'] === '400')?.value ?? 0) > 1);
  });

  test('they go with the Ingress, after they were shown once more, and stay while a route of it does', async () => {
    await standalone.apply([
      ...service('web', [backend.port], 'shop'),
      ingress({ name: 'cart', namespace: 'shop', host: 'shop.example', paths: { '/b': 'web' } }),
    ]);
    for (const round of [1, 2, 3]) assert.equal((await samples('requests'))[0]?.value, 3, `round ${round}`);
    await standalone.apply(service('web', [backend.port], 'shop'));
    assert.equal((await samples('requests')).length, 2);
    assert.equal((await samples('requests')).length, 0);
  });
});
