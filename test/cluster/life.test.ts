import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, type TestContext, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { eventually } from '../kit/wait.ts';
import { H2Load } from './h2load.ts';
import { hasPool, Installation, skipWithoutCluster } from './installation.ts';

/** Over HTTP/1.1, and as many over HTTP/2. */
const requestsPerSecond = 250;

/** On a real cluster, in order: each test goes on where the one before has stopped. */
describe('the life of an installation', { skip: skipWithoutCluster, timeout: 3_600_000 }, () => {
  const sluice = new Installation();
  let entrance: { address: string; http: number; https: number };

  before(() => sluice.addNamespace());
  after(() => sluice.remove());

  test('helm install, and traffic comes through, without any other step', async (t) => {
    const beganMs = performance.now();
    await sluice.install();
    await sluice.addBackend();
    entrance = await sluice.entrance();
    t.diagnostic(`address ${entrance.address} after ${seconds(beganMs)}`);
    await eventually(async () => ((await statusOf()) === 200 ? true : undefined), 'the first 200', 120_000);
    t.diagnostic(`first 200 after ${seconds(beganMs)}`);
  });

  test('helm test says that it serves', async () => {
    assert.match(await sluice.test(), /Phase: +Succeeded/);
  });

  test('proxies are replaced, and no request fails', (t) =>
    underLoad(t, () => sluice.restart('deployment/sluice-proxy')));

  test('controllers are replaced, and no request fails', (t) =>
    underLoad(t, () => sluice.restart('deployment/sluice-controller')));

  test('edges are replaced, and no request fails', { skip: !hasPool && 'needs SLUICE_POOL' }, (t) =>
    underLoad(t, () => sluice.restart('daemonset/sluice-edge')),
  );

  test('the backend is replaced, and no request fails', (t) => underLoad(t, () => sluice.restart('deployment/echo')));

  test('the chart is upgraded and rolled back, and no request fails', async (t) => {
    const changed = {
      controller: { logLevel: 'debug', config: { 'proxy-read-timeout': '50' } },
      proxy: { logLevel: 'debug' },
    };
    await underLoad(t, () => sluice.upgrade(changed));
    await underLoad(t, () => sluice.rollback());
  });

  test('helm uninstall leaves nothing', async () => {
    await sluice.uninstall();
    // Proxies take their time to drain.
    await sluice.kubectl(
      'wait',
      'pods',
      '--selector',
      'app.kubernetes.io/component=proxy',
      '--for=delete',
      '--timeout',
      '3m',
    );
    const { items: services = [] } = await sluice.json('services', '--all-namespaces');
    const held = services.filter(({ metadata }) => metadata?.annotations?.['sluice.dev/allocation'] !== undefined);
    assert.deepEqual(
      held.map(({ metadata }) => metadata?.name),
      [],
    );
    const left: string[] = [];
    for (const kind of [
      'deployments,daemonsets,pods,jobs',
      'secrets,configmaps,serviceaccounts',
      'roles,rolebindings',
      'leases',
    ]) {
      const { items = [] } = await sluice.json(kind);
      left.push(...items.map(({ metadata }) => metadata?.name ?? ''));
    }
    assert.deepEqual(
      left.filter((name) => name.startsWith('sluice')),
      [],
    );
    const { items: cluster = [] } = await sluice.json('clusterroles,clusterrolebindings,ingressclasses');
    const ours = cluster.filter(
      ({ metadata }) => metadata?.name.startsWith(sluice.namespace) || metadata?.name === 'sluice',
    );
    assert.deepEqual(
      ours.map(({ metadata }) => metadata?.name),
      [],
    );
    if (hasPool) assert.match(await sluice.onEveryNode('edge', 'cleanup'), /^(there was nothing\n)+$/);
  });

  async function underLoad(t: TestContext, act: () => Promise<unknown>): Promise<void> {
    const { address, http, https } = entrance;
    const load = Load.start({ address, port: http, host: sluice.host, connections: 20, requestsPerSecond });
    const h2 = new H2Load({ address, port: https, host: sluice.host, requestsPerSecond });
    const beganMs = performance.now();
    try {
      await act();
    } finally {
      const [one, two] = [await load.stop(), await h2.stop()];
      const failures = [...one.failures, ...two.failures];
      t.diagnostic(
        `${one.answered} answers over HTTP/1.1 and ${two.answered} over HTTP/2 in ${seconds(beganMs)}, ${failures.length} failures, slowest ${Math.round(one.slowestMs)} ms`,
      );
      assert.deepEqual([...new Set(failures)], []);
      assert.ok(one.answered > 0 && two.answered > 0);
    }
  }

  function statusOf(): Promise<number> {
    const { address, http } = entrance;
    return new Promise((resolve) => {
      const options = { host: address, port: http, headers: { host: sluice.host }, timeout: 2_000 };
      const asked = request(options, (answer) => resolve(answer.resume().statusCode ?? 0));
      asked.on('timeout', () => asked.destroy());
      asked.on('error', () => resolve(0));
      asked.end();
    });
  }
});

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}
