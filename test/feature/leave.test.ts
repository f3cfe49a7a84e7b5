import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { finalizer } from '../../controller/addresses/claim.ts';
import { recordAnnotation } from '../../controller/addresses/record.ts';
import { Removal } from '../../controller/leave/removal.ts';
import { releaseServices } from '../../controller/leave/services.ts';
import { type Cluster, openCluster } from '../../controller/watch/api.ts';
import { type ApiServer, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { quiet } from '../kit/quiet.ts';
import { SluiceProcess } from '../kit/sluice.ts';

const path = '/api/v1/namespaces/default/services/web';

/** Nothing ends pods here, so there are no workloads: what they have left is. */
describe('sluice leave', { skip: await skipWithoutApiServer(), timeout: 240_000 }, () => {
  let api: ApiServer;

  before(async () => {
    api = await startApiServer();
    await api.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'web',
        namespace: 'default',
        annotations: { [recordAnnotation]: '{}' },
        finalizers: [finalizer, 'others.test/keep'],
      },
      spec: { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] },
    });
    await api.call('PATCH', `${path}/status`, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } });
  });

  after(() => api?.stop());

  async function leave(...args: string[]): Promise<void> {
    const flags = ['--kubeconfig', await api.kubeconfig(), '--controller-namespace', 'default', ...args];
    const process = new SluiceProcess(['leave', ...flags]);
    assert.deepEqual(await process.ended(), { code: 0, signal: null }, process.stderr);
  }

  async function service(): Promise<unknown> {
    const { body } = await api.call('GET', path);
    const { annotations = {}, finalizers = [] } = Object(body.metadata);
    const { ingress = [] } = Object(Object(body['status']).loadBalancer);
    return {
      addresses: ingress.map(({ ip }: { ip: string }) => ip),
      record: annotations[recordAnnotation],
      finalizers,
    };
  }

  /** @param others what happens after the Services were read, and before they are written */
  async function releaseWhile(others: () => Promise<void>): Promise<void> {
    const cluster = await openCluster({ kubeconfig: await api.kubeconfig() });
    try {
      const late: Cluster = {
        ...cluster,
        async call(call) {
          const answer = await cluster.call(call);
          if (call.method === undefined) await others();
          return answer;
        },
      };
      await releaseServices(late, quiet);
    } finally {
      await cluster.close();
    }
  }

  test('an installation without an edge leaves the addresses of another alone', async () => {
    await leave();
    const finalizers = [finalizer, 'others.test/keep'];
    assert.deepEqual(await service(), { addresses: ['192.0.2.1'], record: '{}', finalizers });
  });

  test('with its edge go the addresses, the record and our finalizer', async () => {
    await leave('--edge-workload', 'sluice-edge');
    assert.deepEqual(await service(), { addresses: [], record: undefined, finalizers: ['others.test/keep'] });
  });

  test('an API server that is away for a moment is waited for', async () => {
    const labels = { app: 'late' };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'late', namespace: 'default' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'late' }] } },
      },
    };
    await api.apply(deployment);
    const at = '/apis/apps/v1/namespaces/default/deployments/late';
    const cluster = await openCluster({ kubeconfig: await api.kubeconfig() });
    let asked = 0;
    const late: Cluster = {
      ...cluster,
      async call(call) {
        if (call.method === 'DELETE') return cluster.call(call);
        asked++;
        if (asked === 1) throw new Error('the connection is lost');
        // Nobody collects garbage here.
        if (asked === 2) await api.call('PATCH', at, { metadata: { finalizers: null } });
        return cluster.call(call);
      },
    };
    try {
      await new Removal(late, 'default', performance.now() + 60_000, quiet).endWorkload('deployments', 'late');
      assert.equal((await api.call('GET', at)).status, 404);
      assert.ok(asked >= 2);
      const over = new Removal(late, 'default', performance.now(), quiet).until('nobody', () =>
        Promise.reject(new Error('it is away')),
      );
      await assert.rejects(over, { message: 'there was no time left to wait for nobody: it is away' });
    } finally {
      await cluster.close();
    }
  });

  test('what others write into a Service after it was read stays', async () => {
    const metadata = { annotations: { [recordAnnotation]: '{}' }, finalizers: [finalizer, 'others.test/keep'] };
    await api.call('PATCH', path, { metadata });
    await releaseWhile(async () => {
      await api.call('PATCH', path, { metadata: { finalizers: [...metadata.finalizers, 'others.test/late'] } });
    });
    const finalizers = ['others.test/keep', 'others.test/late'];
    assert.deepEqual(await service(), { addresses: [], record: undefined, finalizers });
  });

  test('a Service that is made anew after it was read is left alone, and holds up nothing', async () => {
    const anew = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'anew', namespace: 'default', annotations: { [recordAnnotation]: '{}' } },
      spec: { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] },
    };
    await api.apply(anew);
    await releaseWhile(async () => {
      await api.delete(anew);
      await api.apply(anew);
    });
    const { body } = await api.call('GET', '/api/v1/namespaces/default/services/anew');
    assert.equal(Object(body.metadata).annotations[recordAnnotation], '{}');
  });
});
