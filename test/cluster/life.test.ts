import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { eventually } from '../kit/wait.ts';
import { hasPool, Installation, skipWithoutCluster } from './installation.ts';
import { ingress } from './objects.ts';
import { Talks } from './talks.ts';
import { type Entrance, Traffic, type TrafficReport } from './traffic.ts';

/** On a real cluster, in order: each test goes on where the one before has stopped. */
describe('the life of an installation', { skip: skipWithoutCluster, timeout: 3_600_000 }, () => {
  const sluice = new Installation();
  let entrance: Entrance;

  before(() => sluice.addNamespace());
  after(() => sluice.remove());

  test('helm install, and traffic comes through, without any other step', async (t) => {
    const beganMs = performance.now();
    await sluice.install();
    await sluice.addBackend();
    entrance = await sluice.entrance();
    t.diagnostic(`address ${entrance.address} after ${seconds(beganMs)}`);
    await sluice.answers(sluice.hosts.web, 200);
    t.diagnostic(`first 200 after ${seconds(beganMs)}`);
  });

  test('helm test says that it serves', async () => {
    assert.match(await sluice.test(), /Phase: +Succeeded/);
  });

  test('proxies are replaced, and no request fails', (t) =>
    underLoad(t, () => sluice.restart('deployment/sluice-proxy')));

  test('proxies are replaced, and every WebSocket is told to go and served until then', async (t) => {
    const count = 40;
    const talks = await Talks.start(entrance, sluice.hosts.web, count);
    try {
      await sluice.restart('deployment/sluice-proxy');
      await eventually(async () => talks.toldAfterMs.length === count || undefined, 'all to be told', 120_000);
    } finally {
      talks.stop();
    }
    const told = talks.toldAfterMs.map((ms) => ms / 1_000).sort((a, b) => a - b);
    t.diagnostic(`told after ${told[0]?.toFixed(1)} to ${told.at(-1)?.toFixed(1)} s; ${talks.answered} answers`);
    assert.deepEqual(talks.failures, []);
  });

  test('controllers are replaced, and no request fails', (t) =>
    underLoad(t, () => sluice.restart('deployment/sluice-controller')));

  test('edges are replaced, and no request fails', { skip: !hasPool && 'needs SLUICE_POOL' }, (t) =>
    underLoad(t, () => sluice.restart('daemonset/sluice-edge')),
  );

  test('the backend is replaced, and no request fails', (t) => underLoad(t, () => sluice.restart('deployment/echo')));

  test('the chart is upgraded and rolled back, and no request fails', async (t) => {
    const podAnnotations = { 'test.sluice.dev/revision': 'another' };
    const changed = {
      controller: { config: { 'proxy-read-timeout': '50' }, podAnnotations },
      proxy: { podAnnotations },
      edge: { podAnnotations },
    };
    await underLoad(t, () => replacing(() => sluice.upgrade(changed)));
    await underLoad(t, () => replacing(() => sluice.rollback()));
  });

  test('log levels change, and no pod is replaced for that', async () => {
    const before = await sluice.pods();
    await sluice.upgrade({ proxy: { logLevel: 'debug' } });
    let changes = 0;
    const isDebugging = async () => {
      // Something to tell.
      await sluice.apply(ingress('more', `more${changes++}.test`, 80, {}));
      return /"level":20/.test(await sluice.kubectl('logs', 'deployment/sluice-proxy')) || undefined;
    };
    // The kubelet brings changed ConfigMaps in its own time.
    await eventually(isDebugging, 'a line of level debug', 180_000);
    assert.deepEqual(await sluice.pods(), before);
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
    const traffic = new Traffic(entrance, sluice.hosts);
    const beganMs = performance.now();
    let report: TrafficReport;
    try {
      await act();
    } finally {
      report = await traffic.stop();
      t.diagnostic(
        `${JSON.stringify(report.answered)} answered in ${seconds(beganMs)}, ${report.failures.length} failed, slowest ${Math.round(report.slowestMs)} ms`,
      );
    }
    assert.deepEqual(report.failures, []);
    for (const count of Object.values(report.answered)) assert.ok(count > 0);
  }

  /** No pod of Sluice that was there before is there after it. */
  async function replacing(act: () => Promise<unknown>): Promise<void> {
    const before = await sluice.pods();
    await act();
    const after = await sluice.pods();
    assert.deepEqual(
      after.filter((name) => before.includes(name)),
      [],
    );
    assert.equal(after.length, before.length);
  }
});

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}
