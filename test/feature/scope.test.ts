import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, get, ingress, page, service, skip, slice, tlsSecret } from './clusterrig.ts';

const group = 'rbac.authorization.k8s.io';
const inTeam = (object: Manifest): Manifest => ({ ...object, metadata: { ...object.metadata, namespace: 'team' } });

/** Secrets in which the controller keeps its own. */
const own = ['sluice-authority', 'sluice-default-certificate', 'sluice-fleet-key'];

/** All that the controller of one namespace may do. There is no ClusterRole. */
const rules = [
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses'], verbs: ['list', 'watch'] },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'watch', 'create'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: own },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
];

describe('a controller of one namespace, with a Role and nothing else', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['one'], controllers: 0, proxies: 0, workers: 1 });
    const pair = await certificateFor(['team.test']);
    const metadata = { name: 'sluice', namespace: 'team' };
    const subjects = [{ apiGroup: group, kind: 'User', name: 'limited' }];
    await rig.api.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } },
      { apiVersion: `${group}/v1`, kind: 'Role', metadata, rules },
      {
        apiVersion: `${group}/v1`,
        kind: 'RoleBinding',
        metadata,
        roleRef: { apiGroup: group, kind: 'Role', name: 'sluice' },
        subjects,
      },
      ...[service('web'), slice('web', rig.portOf(0)), tlsSecret('tls', pair)].map(inTeam),
      inTeam(ingress('web', 'team.test', 'web', {}, [{ hosts: ['team.test'], secretName: 'tls' }])),
      // Of others: not seen, and not served.
      ...[service('web'), slice('web', rig.portOf(0)), ingress('web', 'other.test', 'web')],
    );
    const scope = ['--namespace', 'team', '--controller-namespace', 'team'];
    rig.controllers.push(await rig.startController(rig.api.url, scope, '127.0.0.1', 'limited'));
    await rig.keepAuthority('team');
    rig.proxies.push(await rig.startProxy('proxy-1', 1, 'shared'));
  });

  after(async () => {
    await rig?.stop();
  });

  test('its Ingresses are served, with their certificates and statuses; those of others are not', async () => {
    await rig.allAnswer('team.test', 308);
    await eventually(async () => {
      const { body } = await rig.api.call('GET', pathOf(inTeam(ingress('web', '', ''))));
      return JSON.stringify(body['status']).includes('192.0.2.80') || undefined;
    }, 'the status');
    assert.equal((await get(rig.proxies[0]?.http ?? 0, 'other.test')).status, 404);
    const problems = await page(rig.controllers[0]?.admin ?? 0, '/problems');
    assert.deepEqual(JSON.parse(problems), []);
  });

  test('a Secret that was there before any Ingress named it is found', async () => {
    const pair = await certificateFor(['later.test']);
    await rig.api.apply(
      inTeam(tlsSecret('later', pair)),
      inTeam(ingress('later', 'later.test', 'web', {}, [{ hosts: ['later.test'], secretName: 'later' }])),
    );
    const wanted = new X509Certificate(pair.cert).fingerprint256;
    await eventually(
      async () => (await fingerprintOf(rig.proxies[0]?.https ?? 0, 'later.test')) === wanted || undefined,
      'the certificate',
    );
  });

  test('changes arrive, and problems become Events', async () => {
    await rig.api.apply(inTeam(ingress('more', 'more.test', 'nothing')));
    await rig.allAnswer('more.test', 503);
    await eventually(async () => {
      const { body } = await rig.api.call('GET', '/apis/events.k8s.io/v1/namespaces/team/events');
      return JSON.stringify(body).includes('ServiceNotFound') || undefined;
    }, 'the Event');
  });
});
