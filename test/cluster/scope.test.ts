import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Installation, skipWithoutCluster } from './installation.ts';
import { backend, ingress } from './objects.ts';

/** A team's own installation, in one namespace of a cluster that is not theirs. */
describe('an installation with a scope', { skip: skipWithoutCluster, timeout: 900_000 }, () => {
  const sluice = new Installation({
    controller: { scope: { enabled: true }, ingressClassResource: { enabled: false } },
    crds: { enabled: false },
    edge: { enabled: false },
    proxy: { workers: 1, service: { type: 'NodePort', externalTrafficPolicy: 'Cluster' } },
  });
  const other = new Installation();

  before(async () => {
    for (const each of [sluice, other]) await each.addNamespace();
    await sluice.install();
    await sluice.addBackend();
    await other.apply(...backend(other.image, other.hosts), ingress('theirs', 'theirs.test', 80, {}));
  });
  after(async () => {
    await other.remove();
    await sluice.remove();
  });

  test('it has no object outside its namespace, and its controllers no right there', async () => {
    const manifests = await sluice.manifests();
    const kinds = new Set([...manifests.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind));
    const { items = [] } = await sluice.json('clusterroles,clusterrolebindings,ingressclasses');
    const ours = items.filter(({ metadata }) => metadata?.name.includes(sluice.namespace));
    assert.deepEqual(ours, []);
    for (const kind of ['ClusterRole', 'ClusterRoleBinding', 'IngressClass'])
      assert.equal(kinds.has(kind), false, kind);
    const account = `system:serviceaccount:${sluice.namespace}:sluice-controller`;
    const may = (verb: string, what: string, where: string) =>
      sluice.kubectl('auth', 'can-i', verb, what, '--as', account, '--namespace', where).catch(() => 'no');
    assert.match(await may('list', 'secrets', sluice.namespace), /yes/);
    for (const what of ['secrets', 'ingresses', 'services', 'nodes', 'namespaces'])
      assert.match(await may('list', what, other.namespace), /no/, what);
    assert.match(await may('create', 'tokenreviews', other.namespace), /no/);
  });

  test('it serves its Ingresses, proxies and controllers know each other, and nobody else is served', async () => {
    await sluice.answers(sluice.hosts.web, 200);
    await sluice.answers('theirs.test', 404);
    await sluice.restart('deployment/sluice-proxy');
    await sluice.answers(sluice.hosts.web, 200);
    const problems = JSON.parse(await sluice.page('deployment/sluice-controller', '/problems'));
    assert.deepEqual(problems, []);
    const metrics = await sluice.page('deployment/sluice-controller', '/metrics');
    assert.doesNotMatch(metrics, /^sluice_controller_watch_failing\{[^}]*\} 1$/m);
  });
});
