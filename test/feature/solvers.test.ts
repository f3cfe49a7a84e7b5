import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { RawClient, get as requestOf } from '../kit/rawclient.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, get, ingress, type RunningProxy, service, skip, slice, tlsSecret } from './clusterrig.ts';

const challenge = '/.well-known/acme-challenge/';

/** The Ingress by which cert-manager 1.21 shows an HTTP-01 challenge (pkg/issuer/acme/http/ingress.go). */
function solver(host: string, token: string, form: 'class' | 'annotation', pathType: string): Manifest {
  const name = `cm-acme-http-solver-${token}`;
  const labels = {
    'acme.cert-manager.io/http-domain': '1165341324',
    'acme.cert-manager.io/http-token': '946345837',
    'acme.cert-manager.io/http01-solver': 'true',
  };
  const annotations = {
    'nginx.ingress.kubernetes.io/whitelist-source-range': '0.0.0.0/0,::/0',
    ...(form === 'annotation' && { 'kubernetes.io/ingress.class': 'sluice' }),
  };
  const backend = { service: { name, port: { number: 8089 } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, labels, annotations },
    spec: {
      ...(form === 'class' && { ingressClassName: 'sluice' }),
      rules: [{ host, http: { paths: [{ path: challenge + token, pathType, backend }] } }],
    },
  };
}

/** Service of a solver's pod. */
function solverService(token: string, port: number): Manifest[] {
  const name = `cm-acme-http-solver-${token}`;
  const ports = [{ name: 'http', port: 8089, protocol: 'TCP' }];
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { type: 'NodePort', ports } },
    slice(name, port),
  ];
}

describe('what cert-manager and external-dns count on', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  const proxy = () => rig.proxies[0] as RunningProxy;
  const tls = [{ hosts: ['shop.test'], secretName: 'shop-tls' }];

  before(async () => {
    rig = await ClusterRig.start({ backends: ['app', 'solver'], controllers: 2, proxies: 0, workers: 1 });
    await rig.api.apply(
      ...[service('web'), slice('web', rig.portOf(0))],
      ingress('shop', 'shop.test', 'web', { 'cert-manager.io/cluster-issuer': 'letsencrypt' }, tls),
    );
    rig.proxies.push(await rig.startProxy('proxy-1', 1, 'shared'));
    await rig.allAnswer('shop.test', 308);
  });

  after(async () => {
    await rig?.stop();
  });

  async function answers(path: string, status: number, text?: string): Promise<void> {
    await eventually(async () => {
      const reply = await get(proxy().http, 'shop.test', path);
      return (reply.status === status && (text === undefined || reply.text === text)) || undefined;
    }, `${status} for ${path}`);
  }

  async function changed(name: string): Promise<string | undefined> {
    return (await rig.api.call('GET', pathOf(ingress(name, '', '')))).body.metadata?.resourceVersion;
  }

  for (const form of ['class', 'annotation'] as const) {
    for (const pathType of ['Exact', 'ImplementationSpecific']) {
      test(`a solver that names its class by ${form}, with pathType ${pathType}, is reached where the host redirects`, async () => {
        const token = `${form}-${pathType.toLowerCase()}`;
        const asked = solver('shop.test', token, form, pathType);
        await rig.api.apply(...solverService(token, rig.portOf(1)), asked);
        await answers(challenge + token, 200, 'solver');
        assert.equal((await get(proxy().http, 'shop.test', '/')).status, 308);
        await rig.api.delete(asked);
        // What is left is the application, which may answer challenges itself; so these are never redirected.
        await answers(challenge + token, 200, 'app');
      });
    }
  }

  test('it is reached while annotations ask who the clients are, and whence', async () => {
    const closed = (annotations: Record<string, string>) => ingress('shop', 'shop.test', 'web', annotations, tls);
    await rig.api.apply(
      ...solverService('closed', rig.portOf(1)),
      solver('shop.test', 'closed', 'class', 'Exact'),
      closed({
        'nginx.ingress.kubernetes.io/auth-type': 'basic',
        'nginx.ingress.kubernetes.io/auth-secret': 'users',
        'nginx.ingress.kubernetes.io/whitelist-source-range': '192.0.2.0/24',
      }),
    );
    await answers('/', 503);
    await answers(`${challenge}closed`, 200, 'solver');
    await rig.api.apply(
      closed({
        'nginx.ingress.kubernetes.io/whitelist-source-range': '192.0.2.0/24',
        'nginx.ingress.kubernetes.io/ssl-redirect': 'false',
      }),
    );
    await answers('/', 403);
    await answers(`${challenge}closed`, 200, 'solver');
    await rig.api.delete(solver('shop.test', 'closed', 'class', 'Exact'));
    await rig.api.apply(closed({}));
    await answers('/', 308);
  });

  test('a challenge that is put into the Ingress itself (edit in place) is answered and goes again, with auth beside it', async () => {
    const annotations = {
      'acme.cert-manager.io/http01-edit-in-place': 'true',
      'nginx.ingress.kubernetes.io/auth-url': 'https://auth.test/verify',
    };
    const plain = ingress('shop', 'shop.test', 'web', annotations, tls);
    await rig.api.apply(...solverService('inplace', rig.portOf(1)), plain);
    await answers('/', 503);
    const edited = structuredClone(plain) as Manifest & { spec: { rules: { http: { paths: unknown[] } }[] } };
    edited.spec.rules[0]?.http.paths.push({
      path: `${challenge}inplace`,
      pathType: 'Exact',
      backend: { service: { name: 'cm-acme-http-solver-inplace', port: { number: 8089 } } },
    });
    await rig.api.apply(edited);
    await answers(`${challenge}inplace`, 200, 'solver');
    assert.equal((await get(proxy().http, 'shop.test', '/')).status, 503);
    await rig.api.apply(plain);
    await answers(`${challenge}inplace`, 503);
    await rig.api.apply(ingress('shop', 'shop.test', 'web', {}, tls));
    await answers('/', 308);
  });

  test('a host whose Secret is missing shows the default certificate, so a self-check that is redirected gets through', async () => {
    await rig.api.apply(...solverService('early', rig.portOf(1)), solver('shop.test', 'early', 'class', 'Exact'));
    await answers(`${challenge}early`, 200, 'solver');
    const unknown = await fingerprintOf(proxy().https, 'nobody.test');
    assert.equal(await fingerprintOf(proxy().https, 'shop.test'), unknown);
    // As cert-manager checks: whatever certificate there is will do.
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false, servername: 'shop.test' } });
    const url = `https://127.0.0.1:${proxy().https}${challenge}early`;
    const reply = await request(url, { dispatcher, headers: { host: 'shop.test' } });
    assert.deepEqual([reply.statusCode, await reply.body.text()], [200, 'solver']);
    await dispatcher.close();
    await rig.api.delete(solver('shop.test', 'early', 'class', 'Exact'));
  });

  test('the Secret comes and is rotated in place; connections of before go on', async () => {
    const pairs = await Promise.all(['one', 'two'].map((name) => certificateFor([name, 'shop.test'])));
    const shown = (index: number) => new X509Certificate(pairs[index]?.cert ?? '').fingerprint256;
    const write = async (index: number): Promise<void> => {
      await rig.api.apply(tlsSecret('shop-tls', pairs[index] as (typeof pairs)[0]));
      const isShown = async () => (await fingerprintOf(proxy().https, 'shop.test')) === shown(index) || undefined;
      await eventually(isShown, `certificate ${index} to be shown`);
    };
    await write(0);
    const client = await RawClient.open({ port: proxy().https, tls: { servername: 'shop.test' } });
    client.send(requestOf('/', 'shop.test'));
    assert.equal((await client.response(0)).status, 200);
    await write(1);
    client.send(requestOf('/', 'shop.test'));
    assert.equal((await client.response(1)).status, 200);
    await rig.api.delete(tlsSecret('shop-tls', pairs[1] as (typeof pairs)[0]));
    const isDefault = async () => (await fingerprintOf(proxy().https, 'shop.test')) !== shown(1) || undefined;
    await eventually(isDefault, 'the default certificate');
    client.send(requestOf('/', 'shop.test'));
    assert.equal((await client.response(2)).status, 200);
    client.destroy();
  });

  test('addresses are written once: other changes, and another leader, leave the object as it is', async () => {
    const Status = z.object({ loadBalancer: z.object({ ingress: z.array(z.object({ ip: z.string() })) }) });
    const statusOf = async (name: string) =>
      Status.safeParse((await rig.api.call('GET', pathOf(ingress(name, '', '')))).body['status']).data;
    await eventually(async () => (await statusOf('shop')) !== undefined || undefined, 'the status');
    assert.deepEqual((await statusOf('shop'))?.loadBalancer.ingress, [{ ip: '192.0.2.80' }]);
    const version = await changed('shop');
    await rig.api.apply(slice('web', rig.portOf(1), 'web-2'), ingress('other', 'other.test', 'web'));
    await eventually(async () => (await statusOf('other')) !== undefined || undefined, 'the status of another');
    const [first, second] = rig.controllers as [ClusterRig['controllers'][0], ClusterRig['controllers'][0]];
    const isLeader = async ({ admin }: typeof first) =>
      /^sluice_controller_leader 1$/m.test(await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text());
    const [leader, other] = (await isLeader(first)) ? [first, second] : [second, first];
    await leader.process.stop();
    await eventually(async () => (await isLeader(other)) || undefined, 'the other to lead');
    await rig.api.apply(ingress('third', 'third.test', 'web'));
    await eventually(async () => (await statusOf('third')) !== undefined || undefined, 'a status of the new leader');
    assert.equal(await changed('shop'), version);
  });
});
