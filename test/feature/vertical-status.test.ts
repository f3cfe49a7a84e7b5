import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { Load } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, get, ingress, page, type RunningProxy, service, skip, slice, tlsSecret } from './clusterrig.ts';

const Events = z.object({
  items: z.array(
    z.object({
      reason: z.string(),
      regarding: z.object({ name: z.string() }),
      series: z.object({ count: z.number() }).optional(),
    }),
  ),
});
const Problems = z.array(z.object({ code: z.string(), source: z.object({ name: z.string() }) }));

describe('what Kubernetes is told, and what wrong objects cost', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let load: Load | null = null;
  const proxy = () => rig.proxies[0] as RunningProxy;
  const admin = () => rig.controllers[0]?.admin ?? 0;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one'], controllers: 2, proxies: 0, workers: 1 });
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), ingress('web', 'web.test', 'web'));
    rig.proxies.push(await rig.startProxy('proxy-1', 1, 'shared'));
    await rig.allAnswer('web.test', 200, 'one');
    load = Load.start({ port: proxy().http, host: 'web.test', connections: 4, requestsPerSecond: 200 });
  });

  after(async () => {
    proxy()?.process.signal('SIGCONT');
    await load?.stop();
    await rig?.stop();
  });

  async function statusOf(name: string): Promise<string> {
    const { body } = await rig.api.call('GET', pathOf(ingress(name, '', '')));
    return JSON.stringify(body['status']);
  }

  async function hasStatus(name: string): Promise<void> {
    await eventually(async () => (await statusOf(name)).includes('192.0.2.80') || undefined, `the status of ${name}`);
  }

  async function eventsOf(name: string) {
    const { body } = await rig.api.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
    return Events.parse(body).items.filter(({ regarding }) => regarding.name === name);
  }

  async function problemsOf(name: string): Promise<string[]> {
    const found = Problems.parse(JSON.parse(await page(admin(), '/problems')));
    return found.filter(({ source }) => source.name === name).map(({ code }) => code);
  }

  test('a status is written when the proxy serves the Ingress, not before', async () => {
    await hasStatus('web');
    // The primary takes no tables; its workers go on.
    proxy().process.signal('SIGSTOP');
    await rig.api.apply(ingress('slow', 'slow.test', 'web'));
    await eventually(async () => {
      const { body } = await rig.api.call('GET', pathOf(ingress('slow', '', '')));
      const text = await page(admin(), '/proxies');
      return (body.metadata !== undefined && text.includes('proxy-1')) || undefined;
    }, 'the Ingress');
    // Some round trips through the API server and both controllers, each of which could have written it by then. Not more of them:
    // a proxy that says nothing for 35 s is given up, and waited for no longer.
    for (let i = 0; i < 8; i++) {
      await rig.api.apply(ingress(`more-${i}`, `more-${i}.test`, 'web', { 'sluice.dev/no-such-name': 'x' }));
      await eventually(async () => (await eventsOf(`more-${i}`)).length > 0 || undefined, 'an Event of the leader');
    }
    assert.equal(await statusOf('slow'), '{"loadBalancer":{}}');
    assert.equal((await get(proxy().http, 'slow.test')).status, 404);
    proxy().process.signal('SIGCONT');
    await hasStatus('slow');
    assert.equal((await get(proxy().http, 'slow.test')).status, 200);
    for (let i = 0; i < 8; i++) await hasStatus(`more-${i}`);
  });

  test('a problem is one Event, however often other things change, and one more when it comes back', async () => {
    const lost = ingress('lost', 'lost.test', 'nowhere');
    await rig.api.apply(lost);
    await eventually(async () => (await eventsOf('lost')).length > 0 || undefined, 'the Event');
    for (let i = 0; i < 10; i++) {
      await rig.api.apply(ingress('marker', `marker-${i}.test`, 'web'));
      await rig.allAnswer(`marker-${i}.test`, 200);
    }
    assert.deepEqual(
      (await eventsOf('lost')).map(({ reason, series }) => [reason, series]),
      [['ServiceNotFound', undefined]],
    );
    await rig.api.apply(service('nowhere'), slice('nowhere', rig.portOf(0)));
    await rig.allAnswer('lost.test', 200);
    // The proxy may follow the other controller.
    await eventually(async () => (await problemsOf('lost')).length === 0 || undefined, 'the problem to be gone');
    await rig.api.delete(service('nowhere'));
    await rig.allAnswer('lost.test', 503);
    await eventually(
      async () => (await eventsOf('lost')).some(({ series }) => series?.count === 2) || undefined,
      'two',
    );
    assert.equal((await eventsOf('lost')).length, 1);
  });

  const annotated = (annotations: Record<string, string>) => (name: string) => [
    ingress(name, `${name}.test`, 'web', annotations),
  ];
  const withSecret = (secret: Manifest | null, secretName: string) => (name: string) => [
    ...(secret ? [{ ...secret, metadata: { name: secretName } }] : []),
    ingress(name, `${name}.test`, 'web', { 'sluice.dev/ssl-redirect': 'false' }, [
      { hosts: [`${name}.test`], secretName },
    ]),
  ];
  const badPem = tlsSecret('', { cert: 'no certificate', key: 'no key' });

  interface WrongCase {
    name: string;
    objects: (name: string) => Manifest[];
    /** What its own host answers. */
    status: number;
    code: string;
  }
  const cases: WrongCase[] = [
    {
      name: 'no-service',
      objects: (name) => [ingress(name, `${name}.test`, 'void')],
      status: 503,
      code: 'ServiceNotFound',
    },
    {
      name: 'no-port',
      objects: (name) => {
        const object = ingress(name, `${name}.test`, 'web');
        return [JSON.parse(JSON.stringify(object).replace('"number":80', '"number":81')) as Manifest];
      },
      status: 503,
      code: 'ServicePortNotFound',
    },
    { name: 'no-secret', objects: withSecret(null, 'void'), status: 200, code: 'SecretNotFound' },
    { name: 'bad-pem', objects: withSecret(badPem, 'bad-pem-secret'), status: 200, code: 'SecretMalformed' },
    {
      name: 'bad-number',
      objects: annotated({ 'sluice.dev/proxy-read-timeout': 'soon' }),
      status: 200,
      code: 'AnnotationInvalid',
    },
    {
      name: 'bad-affinity',
      objects: annotated({ 'sluice.dev/affinity': 'telepathy' }),
      status: 200,
      code: 'AnnotationInvalid',
    },
    {
      // What guards a route and is not honoured yet opens nothing.
      name: 'no-guard',
      objects: annotated({ 'nginx.ingress.kubernetes.io/auth-url': 'http://x' }),
      status: 503,
      code: 'AnnotationDenies',
    },
    {
      name: 'no-mirror',
      objects: annotated({ 'nginx.ingress.kubernetes.io/mirror-target': 'http://x' }),
      status: 200,
      code: 'AnnotationNotHonoured',
    },
    {
      name: 'bad-regex',
      objects: (name) => {
        const object = ingress(name, `${name}.test`, 'web', { 'sluice.dev/use-regex': 'true' });
        const text = JSON.stringify(object).replace(
          '"path":"/","pathType":"Prefix"',
          '"path":"/(","pathType":"ImplementationSpecific"',
        );
        return [JSON.parse(text) as Manifest];
      },
      status: 404,
      code: 'PathRegexInvalid',
    },
    {
      name: 'taken',
      objects: (name) => [ingress(name, 'web.test', 'web')],
      status: 404,
      code: 'PathConflict',
    },
  ];

  for (const { name, objects, status, code } of cases) {
    test(`wrong: ${name}`, async () => {
      const good = ingress(`beside-${name}`, `beside-${name}.test`, 'web');
      await rig.api.apply(...objects(name), good);
      await rig.allAnswer(`beside-${name}.test`, 200, 'one');
      await eventually(async () => (await problemsOf(name)).includes(code) || undefined, `the problem of ${name}`);
      assert.equal((await get(proxy().http, `${name}.test`)).status, status);
      await eventually(async () => (await eventsOf(name)).length > 0 || undefined, 'its Event');
      await hasStatus(`beside-${name}`);
    });
  }

  test('a certificate next to a broken one is served', async () => {
    const pair = await certificateFor(['good.test']);
    await rig.api.apply(tlsSecret('good', pair));
    await rig.api.apply(
      ingress('good', 'good.test', 'web', {}, [
        { hosts: ['other.test'], secretName: 'bad-pem-secret' },
        { hosts: ['good.test'], secretName: 'good' },
      ]),
    );
    await rig.allAnswer('good.test', 308);
    assert.equal(await fingerprintOf(proxy().https, 'good.test'), new X509Certificate(pair.cert).fingerprint256);
  });

  test('no request to the good Ingress has failed', async () => {
    const report = await load?.stop();
    assert.deepEqual(report?.failures, []);
    assert.ok((report?.answered ?? 0) > 0);
  });
});
