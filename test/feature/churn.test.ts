import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { Load } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, service, skip, slice, tlsSecret } from './clusterrig.ts';

const backends = ['one', 'two', 'three'];
const host = 'busy.test';

/**
 * What changes is what the load uses: routes of its host, endpoints of its Service, the certificate that it is shown.
 * The rate may fall on a slow machine; nothing may fail.
 */
describe('500 requests a second, while everything they use changes', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;
  let loads: Load[] = [];
  let pairs: CertificatePair[] = [];
  const secret = (i: number) => tlsSecret('busy', pairs[i % 2] as CertificatePair);
  const main = (timeoutS: number) =>
    ingress(
      'busy',
      host,
      'busy',
      { 'sluice.dev/ssl-redirect': 'false', 'sluice.dev/proxy-read-timeout': String(timeoutS) },
      [{ hosts: [host], secretName: 'busy' }],
    );

  before(async () => {
    rig = await ClusterRig.start({ backends, controllers: 1, proxies: 0, workers: 2 });
    pairs = await Promise.all(['a', 'b'].map((name) => certificateFor([name, host])));
    await rig.api.apply(service('busy'), slice('busy', rig.portOf(0), 'busy-0'), secret(0), main(60));
    rig.proxies.push(await rig.startProxy('proxy-1', 2, 'shared'));
    await rig.allAnswer(host, 200, 'one');
    await certificateIs(0);
    const [{ http, https }] = rig.proxies as [ClusterRig['proxies'][0]];
    loads = [
      Load.start({ port: http, host, connections: 10, requestsPerSecond: 300 }),
      Load.start({ port: https, host, connections: 6, requestsPerSecond: 140, isTls: true }),
      Load.start({ port: https, host, connections: 2, requestsPerSecond: 30, isTls: true, keepsAlive: false }),
      Load.start({ port: http, host, connections: 2, requestsPerSecond: 30, keepsAlive: false }),
    ];
  });

  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await rig?.stop();
  });

  async function certificateIs(i: number): Promise<void> {
    const wanted = new X509Certificate(pairs[i % 2]?.cert ?? '').fingerprint256;
    const { https = 0 } = rig.proxies[0] ?? {};
    await eventually(async () => (await fingerprintOf(https, host)) === wanted || undefined, 'the certificate');
  }

  test('200 changes of routes: beside the route, and of the route itself', async () => {
    for (let i = 0; i < 50; i++) {
      const beside = ingress(`beside-${i}`, host, 'busy');
      const path = {
        path: `/beside-${i}`,
        pathType: 'Exact',
        backend: { service: { name: 'busy', port: { number: 80 } } },
      };
      await rig.api.apply({
        ...beside,
        spec: { ingressClassName: 'sluice', rules: [{ host, http: { paths: [path] } }] },
      });
      await rig.api.apply(main(61 + i), ingress(`other-${i}`, `other-${i}.test`, 'busy'));
      await rig.allAnswer(`other-${i}.test`, 200);
      await rig.api.delete(beside);
    }
  });

  test('200 changes of endpoints: each is added, then the one before it goes', async () => {
    for (let i = 1; i <= 100; i++) {
      await rig.api.apply(slice('busy', rig.portOf(i % 3), `busy-${i}`));
      await rig.api.delete(slice('busy', 0, `busy-${i - 1}`));
    }
    await rig.allAnswer(host, 200, backends[100 % 3]);
  });

  test('50 changes of the certificate', async () => {
    for (let i = 1; i <= 50; i++) {
      await rig.api.apply(secret(i));
      await certificateIs(i);
    }
  });

  test('not one request has failed', async (t) => {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    t.diagnostic(`answered: ${reports.map(({ answered }) => answered).join(', ')}`);
    t.diagnostic(`longest wait, ms: ${reports.map(({ slowestMs }) => Math.round(slowestMs)).join(', ')}`);
    for (const { failures, answered } of reports) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });
});
