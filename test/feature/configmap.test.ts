import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { everythingTo, type Manifest } from '../kit/manifests.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

const configMap = (data: Record<string, string>, name = 'config'): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'sluice' },
  data,
});

describe('the ConfigMap of --configmap', () => {
  let backend: Recorder;
  let sluice: Standalone;

  before(async () => {
    backend = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
    sluice = await Standalone.start({
      manifests: everythingTo(backend.port),
      args: ['--configmap', 'sluice/config'],
    });
  });

  after(async () => {
    await sluice.stop();
    await backend.stop();
  });

  /** Status, and who the backend is told the client is. Each on a connection of its own: who is believed is settled there. */
  const post = (bytes: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { host: 'gw.test', 'x-forwarded-for': '192.0.2.7' };
      const options = { port: sluice.httpPort, host: '127.0.0.1', method: 'POST', headers, agent: false };
      const sent = request(options, (response) => {
        const client = backend.take().map(({ fields }) => fields.find(([name]) => name === 'X-Real-IP')?.[1]);
        resolve([response.statusCode, ...client].join(' '));
        response.resume();
      });
      sent.on('error', reject);
      sent.end('x'.repeat(bytes));
    });
  const codes = async () => (JSON.parse(await sluice.admin('/problems')) as { code: string }[]).map(({ code }) => code);

  test('is in force with each edit, for a request that is sent after it', async () => {
    assert.deepEqual(await codes(), ['ConfigMapNotFound']);
    assert.equal(await post(10), '200 127.0.0.1', 'nobody is believed');
    const trust = { 'use-forwarded-headers': 'true', 'proxy-real-ip-cidr': '127.0.0.0/8' };
    await sluice.apply([...everythingTo(backend.port), configMap(trust)]);
    assert.equal(await post(2000), '200 192.0.2.7');
    assert.deepEqual(await codes(), []);
    const small = { ...trust, 'proxy-body-size': '1k', 'max-worker-connections': '75' };
    await sluice.apply([
      ...everythingTo(backend.port),
      configMap(small),
      configMap({ 'proxy-body-size': '1' }, 'other'),
    ]);
    assert.equal(await post(2000), '413');
    assert.equal(await post(1000), '200 192.0.2.7');
    assert.deepEqual(await codes(), ['ConfigKeyNotHonoured']);
    await sluice.apply(everythingTo(backend.port));
    assert.equal(await post(2000), '200 127.0.0.1');
  });

  test('holds where an annotation has a bad value, and of the default is not said that it does', async () => {
    const [ingressClass, all, ...others] = everythingTo(backend.port) as [Manifest, Manifest, ...Manifest[]];
    all.metadata.annotations = { 'sluice.dev/proxy-body-size': '1 MB' };
    await sluice.apply([ingressClass, all, ...others, configMap({ 'proxy-body-size': '1k' })]);
    assert.equal(await post(2000), '413');
    const [problem] = JSON.parse(await sluice.admin('/problems')) as { message: string }[];
    assert.match(problem?.message ?? '', /"1 MB" is not .*; it is as if it were not there \(default: 1m\)\.$/);
  });
});
