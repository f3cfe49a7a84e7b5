import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Manifest } from '../kit/apiserver.ts';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { Load, type LoadReport } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, service, skip, slice, tlsSecret } from './clusterrig.ts';

/**
 * Everything is created, changed and deleted, and each change is waited for at the proxy, while two hosts that exist
 * throughout are asked without a pause.
 */
describe('objects come, change and go under load', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let loads: Load[] = [];
  let pairs: CertificatePair[] = [];
  const fingerprint = (pair: number) => new X509Certificate(pairs[pair]?.cert ?? '').fingerprint256;
  const secretFor = (name: string, pair: number) => tlsSecret(name, pairs[pair] as CertificatePair);

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one', 'two', 'three'], controllers: 1, proxies: 0, workers: 2 });
    pairs = await Promise.all(
      ['a', 'b'].map((name) => certificateFor([name, 'secure.test', 'changing.test', 'shop.test'])),
    );
    const tls = [{ hosts: ['secure.test'], secretName: 'secure' }];
    await rig.api.apply(
      ...[service('steady'), slice('steady', rig.portOf(0)), ingress('steady', 'steady.test', 'steady')],
      ...[secretFor('secure', 0), ingress('secure', 'secure.test', 'steady', {}, tls)],
    );
    rig.proxies.push(await rig.startProxy('proxy-1', 2, 'shared'));
    await rig.allAnswer('steady.test', 200, 'one');
    await certificateIs('secure.test', fingerprint(0));
    const [{ http: port, https }] = rig.proxies as [(typeof rig.proxies)[0]];
    loads = [
      Load.start({ port, host: 'steady.test', connections: 4, requestsPerSecond: 200 }),
      Load.start({ port: https, host: 'secure.test', isTls: true, connections: 2, requestsPerSecond: 40 }),
      Load.start({
        ...{ port: https, host: 'secure.test', isTls: true, keepsAlive: false },
        ...{ connections: 2, requestsPerSecond: 20 },
      }),
    ];
  });

  after(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await rig?.stop();
  });

  async function certificateIs(host: string, wanted: string): Promise<void> {
    for (const { https } of rig.proxies) {
      await eventually(
        async () => (await fingerprintOf(https, host)) === wanted || undefined,
        `certificate of ${host}`,
      );
    }
  }

  test('Ingress', async () => {
    await rig.api.apply(service('web'), slice('web', rig.portOf(1)), ingress('web', 'web.test', 'web'));
    await rig.allAnswer('web.test', 200, 'two');
    await rig.api.apply(ingress('web', 'renamed.test', 'web'));
    await rig.allAnswer('renamed.test', 200, 'two');
    await rig.allAnswer('web.test', 404);
    await rig.api.apply(ingress('web', 'renamed.test', 'steady'));
    await rig.allAnswer('renamed.test', 200, 'one');
    await rig.api.apply(ingress('web', 'renamed.test', 'steady', { 'sluice.dev/app-root': '/start' }));
    await rig.allAnswer('renamed.test', 302);
    await rig.api.delete(ingress('web', 'renamed.test', 'steady'));
    await rig.allAnswer('renamed.test', 404);
  });

  test('Service', async () => {
    const route = ingress('svc', 'svc.test', 'svc');
    await rig.api.apply(route);
    await rig.allAnswer('svc.test', 503);
    await rig.api.apply(service('svc'), slice('svc', rig.portOf(1)));
    await rig.allAnswer('svc.test', 200, 'two');
    await rig.api.call('PATCH', '/api/v1/namespaces/default/services/svc', {
      spec: { ports: [{ name: 'http', port: 81, protocol: 'TCP' }] },
    });
    await rig.allAnswer('svc.test', 503);
    await rig.api.delete(service('svc'));
    await rig.api.apply(service('svc'));
    await rig.allAnswer('svc.test', 200, 'two');
    await rig.api.delete(service('svc'));
    await rig.allAnswer('svc.test', 503);
    await rig.api.delete(route, slice('svc', rig.portOf(1)));
    await rig.allAnswer('svc.test', 404);
  });

  test('EndpointSlice: of its own Service', async () => {
    const first = slice('eps', rig.portOf(0));
    await rig.api.apply(service('eps'), ingress('eps', 'eps.test', 'eps'));
    await rig.allAnswer('eps.test', 503);
    await rig.api.apply(first);
    await rig.allAnswer('eps.test', 200, 'one');
    await rig.api.apply(slice('eps', rig.portOf(2)));
    await rig.allAnswer('eps.test', 200, 'three');
    await rig.api.apply(slice('eps', rig.portOf(1), 'eps-more'));
    await rig.allAnswer('eps.test', 200, 'two');
    await rig.api.delete(first);
    await rig.api.apply(slice('eps', rig.portOf(1), 'eps-more', false));
    await rig.allAnswer('eps.test', 503);
    await rig.api.delete(slice('eps', rig.portOf(1), 'eps-more'));
    await rig.allAnswer('eps.test', 503);
    await rig.api.delete(service('eps'), ingress('eps', 'eps.test', 'eps'));
    await rig.allAnswer('eps.test', 404);
  });

  test('EndpointSlice: pods of the busy Service are replaced one after the other', async () => {
    for (const next of [1, 2, 0]) {
      await rig.api.apply(slice('steady', rig.portOf(next), 'steady-next'));
      const name = ['one', 'two', 'three'][next];
      await rig.allAnswer('steady.test', 200, name);
      await rig.api.apply(slice('steady', rig.portOf(next)));
      await rig.api.delete(slice('steady', rig.portOf(next), 'steady-next'));
      await onlyFrom(name ?? '');
    }
  });

  /** Twenty answers in a row from one backend: those that it replaces are not asked any more. */
  async function onlyFrom(name: string): Promise<void> {
    let inARow = 0;
    await eventually(async () => {
      const before = new Map(loads[0]?.report.bodies);
      await new Promise((resolve) => setTimeout(resolve, 20));
      const news = [...(loads[0]?.report.bodies ?? [])].filter(([body, count]) => count > (before.get(body) ?? 0));
      inARow = news.every(([body]) => body === name) ? inARow + news.length : 0;
      return inARow >= 20 || undefined;
    }, `answers from ${name} only`);
  }

  test('Secret', async () => {
    const host = 'changing.test';
    const [{ https }] = rig.proxies as [(typeof rig.proxies)[0]];
    const fallback = await fingerprintOf(https, host);
    const tls = [{ hosts: [host], secretName: 'changing' }];
    await rig.api.apply(ingress('changing', host, 'steady', {}, tls));
    await rig.allAnswer(host, 308);
    assert.equal(await fingerprintOf(https, host), fallback);
    await rig.api.apply(secretFor('changing', 0));
    await certificateIs(host, fingerprint(0));
    await rig.api.apply(secretFor('changing', 1));
    await certificateIs(host, fingerprint(1));
    await rig.api.delete(secretFor('changing', 1));
    await certificateIs(host, fallback);
    await rig.api.delete(ingress('changing', host, 'steady'));
    await rig.allAnswer(host, 404);
  });

  test('Secret: of the busy host', async () => {
    for (const pair of [1, 0, 1]) {
      await rig.api.apply(secretFor('secure', pair));
      await certificateIs('secure.test', fingerprint(pair));
    }
  });

  test('IngressClass', async () => {
    const other = (metadata: object, controller = 'sluice.dev/ingress-controller'): Manifest => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IngressClass',
      metadata: { name: 'other', ...metadata },
      spec: { controller },
    });
    const route = ingress('classy', 'classy.test', 'steady');
    await rig.api.apply({ ...route, spec: { ...(route['spec'] as object), ingressClassName: 'other' } });
    await rig.api.apply(other({}));
    await rig.allAnswer('classy.test', 200);
    await rig.api.delete(other({}));
    await rig.allAnswer('classy.test', 404);
    await rig.api.apply(other({}, 'example.com/another'), ingress('marker', 'marker.test', 'steady'));
    await rig.allAnswer('marker.test', 200);
    await rig.allAnswer('classy.test', 404);
    await rig.api.delete(other({}), route);
    await rig.api.apply({ ...route, spec: { rules: (route['spec'] as { rules: unknown }).rules } });
    await rig.api.apply(other({ annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } }));
    await rig.allAnswer('classy.test', 200);
    await rig.api.apply(other({ annotations: {} }));
    await rig.allAnswer('classy.test', 404);
    await rig.api.delete(other({}), route);
    await rig.api.delete(ingress('marker', 'marker.test', 'steady'));
    await rig.allAnswer('marker.test', 404);
  });

  test('Namespace, with all that is in it', async () => {
    const shop: Manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
    const inShop = (object: Manifest) => ({ ...object, metadata: { ...object.metadata, namespace: 'shop' } });
    const tls = [{ hosts: ['shop.test'], secretName: 'shop' }];
    const objects = [
      ...[service('web'), slice('web', rig.portOf(2)), secretFor('shop', 0)],
      ingress('web', 'shop.test', 'web', { 'sluice.dev/ssl-redirect': 'false' }, tls),
    ].map(inShop);
    await rig.api.apply(shop, ...objects);
    await rig.allAnswer('shop.test', 200, 'three');
    await certificateIs('shop.test', fingerprint(0));
    await rig.api.delete(shop);
    await rig.allAnswer('shop.test', 200, 'three');
    // What the namespace controller of a cluster does next.
    await rig.api.delete(...objects);
    await rig.api.call('PUT', '/api/v1/namespaces/shop/finalize', { ...shop, spec: { finalizers: [] } });
    await rig.allAnswer('shop.test', 404);
    await rig.api.apply(shop, ...objects);
    await rig.allAnswer('shop.test', 200, 'three');
    await certificateIs('shop.test', fingerprint(0));
  });

  test('no request to the hosts that were there throughout has failed', async () => {
    const reports: LoadReport[] = await Promise.all(loads.map((load) => load.stop()));
    for (const { failures, answered } of reports) {
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });
});
