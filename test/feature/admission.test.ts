import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { AdmissionRequest } from '../../controller/admit/review.ts';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { addressPool, installOwnKinds } from '../kit/ownkinds.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, page, type RunningController, service, skip } from './clusterrig.ts';

test('a review without the object that there was before, or that there will be, is read as one with null', () => {
  const created = { uid: 'u', kind: { kind: 'Ingress' }, operation: 'CREATE', object: {} };
  const deleted = { uid: 'u', kind: { kind: 'AddressPool' }, operation: 'DELETE', oldObject: {} };
  for (const request of [created, deleted]) assert.deepEqual(AdmissionRequest.safeParse(request).data, request);
});

const Listening = z.object({ webhook: z.number() });

describe('admission, as a real API server asks for it', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;
  let controller: RunningController;
  let port: number;

  before(async () => {
    rig = await ClusterRig.start({ backends: [], controllers: 0, proxies: 0, workers: 1 });
    await installOwnKinds(rig.api);
    // Before anybody judges: what was let in stays in.
    await rig.api.apply(service('web'), ingress('before', 'before.example', 'web', useRegex, []));
    await rig.api.apply(regexIngress('bad-before', 'before.example', '/('));
    controller = await rig.startController(rig.api.url, [
      ...['--edge', '--webhook-port', '0', '--webhook-configuration', 'sluice', '--webhook-service', 'sluice/webhook'],
    ]);
    const [line] = await controller.process.printed(/^\{.*"msg":"listening".*$/m);
    port = Listening.parse(JSON.parse(line)).webhook;
    await eventually(
      async () => (await fetch(`http://127.0.0.1:${controller.admin}/readyz`)).ok || undefined,
      'tables',
    );
    await rig.api.apply(webhook());
    await isTrusted();
    // The API server hears of its own configuration by a watch, and lets in what comes before.
    await eventually(async () => {
      const { warnings } = await rig.api.dryRun(ingress('probe', 'probe.example', 'not-there'));
      return warnings.length > 0 || undefined;
    }, 'the API server to ask');
  });

  after(async () => await rig?.stop());

  const webhook = (): Manifest => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'sluice' },
    webhooks: [
      {
        name: 'validate.sluice.dev',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Ignore',
        timeoutSeconds: 10,
        clientConfig: { url: `https://127.0.0.1:${port}/validate` },
        rules: [
          {
            apiGroups: ['networking.k8s.io'],
            apiVersions: ['v1'],
            operations: ['CREATE', 'UPDATE'],
            resources: ['ingresses'],
          },
          {
            apiGroups: ['sluice.dev'],
            apiVersions: ['v1'],
            operations: ['CREATE', 'UPDATE', 'DELETE'],
            resources: ['*'],
          },
        ],
      },
    ],
  });
  const bundle = async () => {
    const { body } = await rig.api.call('GET', pathOf(webhook()));
    const Hooks = z.array(z.object({ clientConfig: z.object({ caBundle: z.string().default('') }) }));
    return Hooks.parse(body['webhooks'])[0]?.clientConfig.caBundle ?? '';
  };
  const isTrusted = () =>
    eventually(async () => ((await bundle()) === '' ? undefined : true), 'the authority to be there');
  /** Creates it, and says what came of that. */
  const create = async (object: Manifest) => {
    const { status, body, warnings } = await rig.api.call('POST', pathOf(object).replace(/\/[^/]*$/, ''), object);
    return { status, message: String(body['message'] ?? ''), warnings: warnings.join('\n') };
  };
  const refused = async (object: Manifest, reason: RegExp) => {
    const { status, message } = await create(object);
    assert.match(message, reason);
    assert.equal(status, 422);
    assert.equal((await rig.api.call('GET', pathOf(object))).status, 404);
  };

  test('what only its author can correct is refused, in the words of the problem', async () => {
    await refused(regexIngress('bad', 'new.example', '/('), /denied the request: PathRegexInvalid: .*"\/\(".*\. \S/s);
    await refused(
      ingress('denied', 'new.example', 'web', { 'nginx.ingress.kubernetes.io/auth-type': 'digest' }),
      /AnnotationDenies/,
    );
    assert.match(
      await page(controller.admin, '/metrics'),
      /^sluice_controller_admission_reviews_total\{verdict="denied"\} 2$/m,
    );
  });

  test('a path that another Ingress has is refused, and one that nobody has is not', async () => {
    assert.deepEqual(await create(ingress('first', 'taken.example', 'web')), {
      status: 201,
      message: '',
      warnings: '',
    });
    await eventually(async () => {
      const { status } = await create(ingress(`second-${Math.random().toString(36).slice(2)}`, 'taken.example', 'web'));
      return status === 422 || undefined;
    }, 'the first to be known');
  });

  test('a default backend without rules is refused where another Ingress has one, of whatever Service', async () => {
    await rig.api.apply(defaultIngress('default-first', 'not-there'));
    await eventually(
      async () => (await page(controller.admin, '/problems')).includes('default-first') || undefined,
      'the first to be known',
    );
    await refused(defaultIngress('default-second', 'other'), /DefaultBackendConflict: .*default\/default-first/);
  });

  test('what may come later, and what is honoured otherwise, is a warning', async () => {
    const { status, warnings } = await create(
      ingress('early', 'early.example', 'not-yet', { 'nginx.ingress.kubernetes.io/no-such-thing': '1' }, [
        { hosts: ['early.example'], secretName: 'issued-later' },
      ]),
    );
    assert.equal(status, 201);
    assert.match(warnings, /ServiceNotFound: .*default\/not-yet/);
    assert.match(warnings, /AnnotationUnknown: metadata\.annotations/);
    assert.doesNotMatch(warnings, /issued-later/);
  });

  test('an Ingress of another class is let in without a word', async () => {
    const foreign = regexIngress('foreign', 'new.example', '/(');
    foreign['spec'] = { ...(foreign['spec'] as object), ingressClassName: 'other' };
    assert.deepEqual(await create(foreign), { status: 201, message: '', warnings: '' });
  });

  test('what was let in before may be changed, but not for the worse', async () => {
    const path = pathOf(regexIngress('bad-before', '', ''));
    const labels = await rig.api.call('PATCH', path, { metadata: { labels: { team: 'red' } } });
    assert.equal(labels.status, 200);
    assert.match(labels.warnings.join('\n'), /PathRegexInvalid/);
    const { spec } = regexIngress('', 'before.example', '/[');
    assert.equal((await rig.api.call('PATCH', path, { spec })).status, 422);
  });

  test('pools that overlap are refused, whichever is older', async () => {
    assert.equal((await create(addressPool('old', { addresses: ['192.0.2.0/28'] }))).status, 201);
    assert.equal((await create(addressPool('young', { addresses: ['198.51.100.0/28'] }))).status, 201);
    await isKnown('young');
    await refused(
      addressPool('third', { addresses: ['192.0.2.8-192.0.2.40'] }),
      /AddressPoolOverlaps: .*AddressPool old/s,
    );
    await refused(addressPool('third', { addresses: ['192.0.2.300'] }), /AddressPoolInvalid/);
    const grow = { spec: { addresses: ['192.0.2.0/28', '198.51.100.8'] } };
    const { status, body } = await rig.api.call('PATCH', pathOf(addressPool('old', {})), grow);
    assert.deepEqual([status, /AddressPoolOverlaps/.test(String(body['message']))], [422, true]);
  });

  test('a pool in use may go or shrink, and whoever asks is told which Services keep its addresses', async () => {
    const balanced = service('balanced');
    balanced['spec'] = { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] };
    await rig.api.apply(balanced);
    await eventually(
      async () => ((await page(controller.admin, '/addresses')).includes('default/balanced') ? true : undefined),
      'an address',
    );
    const { services } = z
      .object({ services: z.record(z.string(), z.array(z.string())) })
      .parse(JSON.parse(await page(controller.admin, '/addresses')));
    const [address = ''] = services['default/balanced'] ?? [];
    const pool = address.startsWith('192.') ? 'old' : 'young';
    const shrunk = await rig.api.call('PATCH', pathOf(addressPool(pool, {})), { spec: { addresses: ['203.0.113.7'] } });
    const told = `Service default/balanced keeps ${address}, which is in no AddressPool then.`;
    assert.deepEqual([shrunk.status, shrunk.warnings], [200, [told]]);
    await rig.api.call('PATCH', pathOf(addressPool(pool, {})), { spec: { addresses: [address] } });
    await isKnown(`${pool}"`);
    const gone = await eventually(async () => {
      const answer = await rig.api.call('DELETE', `${pathOf(addressPool(pool, {}))}?dryRun=All`);
      return answer.warnings.length > 0 ? answer : undefined;
    }, 'the pool as it was');
    assert.deepEqual([gone.status, gone.warnings], [200, [told]]);
  });

  test('peers and announcements', async () => {
    const peer = { apiVersion: 'sluice.dev/v1', kind: 'BGPPeer', metadata: { name: 'tor' } };
    await refused({ ...peer, spec: { address: '300.0.0.1', peerASN: 64512, localASN: 64513 } }, /PeerAddressInvalid/);
    const { status, warnings } = await create({
      ...{ apiVersion: 'sluice.dev/v1', kind: 'Announcement', metadata: { name: 'early' } },
      spec: { pools: ['not-yet'], l2: {} },
    });
    assert.equal(status, 201);
    assert.match(warnings, /AnnouncementPoolNotFound/);
  });

  test('garbage is refused by the webhook, and hurts nobody', async () => {
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    const ask = async (method: 'GET' | 'POST', path: string, body: string | null) => {
      const answer = await request(`https://127.0.0.1:${port}${path}`, { method, body, dispatcher });
      await answer.body.dump();
      return answer.statusCode;
    };
    assert.equal(await ask('GET', '/validate', null), 404);
    assert.equal(await ask('POST', '/', '{}'), 404);
    for (const body of ['', '{', '{}', '[]', 'null', '{"apiVersion":"admission.k8s.io/v1","request":{}}']) {
      assert.equal(await ask('POST', '/validate', body), 400, body);
    }
    await dispatcher.destroy();
    await refused(regexIngress('bad', 'new.example', '/('), /PathRegexInvalid/);
  });

  test('the leader puts its authority back when an upgrade has written over it', async () => {
    const before = await bundle();
    await rig.api.call('PUT', pathOf(webhook()), webhook());
    await isTrusted();
    assert.equal(await bundle(), before);
  });

  test('without a controller objects are let in, as failurePolicy says', async () => {
    await controller.process.stop();
    assert.equal((await create(regexIngress('bad', 'new.example', '/('))).status, 201);
  });

  const isKnown = (pool: string) =>
    eventually(async () => ((await page(controller.admin, '/addresses')).includes(pool) ? true : undefined), pool);
});

const useRegex = { 'nginx.ingress.kubernetes.io/use-regex': 'true' };

function regexIngress(name: string, host: string, path: string): Manifest {
  const made = ingress(name, host, 'web', useRegex);
  const backend = { service: { name: 'web', port: { number: 80 } } };
  const paths = [{ path, pathType: 'ImplementationSpecific', backend }];
  made['spec'] = { ingressClassName: 'sluice', rules: [{ host, http: { paths } }] };
  return made;
}

function defaultIngress(name: string, backend: string): Manifest {
  const made = ingress(name, '', backend);
  made['spec'] = { ingressClassName: 'sluice', defaultBackend: { service: { name: backend, port: { number: 80 } } } };
  return made;
}
