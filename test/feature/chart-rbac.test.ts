import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { type ApiServer, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { renderChart, skipWithoutHelm } from '../kit/helm.ts';

const Review = z.object({
  status: z.object({
    resourceRules: z.array(
      z.object({
        verbs: z.array(z.string()),
        apiGroups: z.array(z.string()).default(['']),
        resources: z.array(z.string()),
        resourceNames: z.array(z.string()).optional(),
      }),
    ),
  }),
});

const namespace = 'edge-system';

/** What the chart gives is what the API server says of it, in words: `verbs resource [names]`, sorted. */
describe('what each service account of the chart may do', {
  skip: skipWithoutHelm() || (await skipWithoutApiServer()),
}, () => {
  let api: ApiServer;
  let agent: Agent;

  before(async () => {
    api = await startApiServer();
    const config = JSON.parse(readFileSync(await api.kubeconfig(), 'utf8'));
    const ca = Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64');
    agent = new Agent({ connect: { ca } });
    for (const name of [namespace, 'shop'])
      await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  });

  after(async () => {
    await agent?.destroy();
    await api?.stop();
  });

  async function install(values: object): Promise<void> {
    const kinds = ['ServiceAccount', 'Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding'];
    const { objects } = renderChart({ ...values });
    await api.apply(...objects.filter(({ kind }) => kinds.includes(kind)));
  }

  async function rulesOf(account: string, where: string): Promise<string[]> {
    const made = await api.call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    });
    const token = z.object({ status: z.object({ token: z.string() }) }).parse(made.body).status.token;
    const answer = await request(`${api.url}/apis/authorization.k8s.io/v1/selfsubjectrulesreviews`, {
      method: 'POST',
      dispatcher: agent,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectRulesReview',
        spec: { namespace: where },
      }),
    });
    const { resourceRules } = Review.parse(await answer.body.json()).status;
    const words = resourceRules
      // What every user may: ask what it is and may do.
      .filter(({ resources }) => !resources.some((name) => /^selfsubject/.test(name)))
      .flatMap(({ verbs, resources, resourceNames = [] }) =>
        resources.map((name) => [verbs.toSorted().join(','), name, ...resourceNames.toSorted()].join(' ')),
      );
    return [...new Set(words)].sort();
  }

  test('proxies and edges: nothing; their tokens are for the controllers', async () => {
    await install({ edge: { enabled: true } });
    for (const account of ['gateway-sluice-proxy', 'gateway-sluice-edge']) {
      assert.deepEqual(await rulesOf(account, namespace), [], account);
      assert.deepEqual(await rulesOf(account, 'shop'), [], account);
    }
  });

  test('controllers: read what they translate, write what they answer for', async () => {
    await install({ edge: { enabled: true } });
    const everywhere = [
      'create tokenreviews',
      'create,patch events',
      'list,watch addresspools',
      'list,watch announcements',
      'list,watch bgppeers',
      'list,watch customresourcedefinitions',
      'list,watch endpointslices',
      'list,watch ingressclasses',
      'list,watch ingresses',
      'list,watch namespaces',
      'list,watch nodes',
      'list,watch secrets',
      'list,watch services',
      'patch addresspools/status',
      'patch ingresses/status',
      'patch services',
      'patch services/status',
    ];
    assert.deepEqual(await rulesOf('gateway-sluice-controller', 'shop'), everywhere);
    const own = [
      'create leases',
      'create secrets',
      'get secrets sluice-authority sluice-default-certificate sluice-edge-key sluice-fleet-key',
      'get,update leases gateway-sluice-controller',
      'list,watch configmaps gateway-sluice',
    ];
    assert.deepEqual(await rulesOf('gateway-sluice-controller', namespace), [...everywhere, ...own].sort());
  });

  test('without the edge, a controller writes no Service; with a scope, it has no right beyond its namespaces', async () => {
    await api.delete(
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: `${namespace}-gateway-sluice-controller` },
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: `${namespace}-gateway-sluice-controller` },
      },
    );
    await install({ controller: { scope: { enabled: true } } });
    assert.deepEqual(await rulesOf('gateway-sluice-controller', 'shop'), []);
    const own = await rulesOf('gateway-sluice-controller', namespace);
    assert.ok(own.includes('list,watch ingresses') && !own.includes('patch services'), own.join('; '));
  });

  test('who clears up at the end may do that alone', async () => {
    await install({ edge: { enabled: true } });
    assert.deepEqual(await rulesOf('gateway-sluice-leave', 'shop'), ['list,patch services', 'patch services/status']);
    assert.deepEqual(await rulesOf('gateway-sluice-leave', namespace), [
      'create daemonsets',
      'delete leases gateway-sluice-controller',
      'delete secrets sluice-authority sluice-default-certificate sluice-edge-key sluice-fleet-key',
      'delete,get deployments gateway-sluice-controller',
      'delete,get,patch daemonsets gateway-sluice-edge gateway-sluice-edge-cleanup',
      'list,patch services',
      'patch services/status',
    ]);
  });
});
