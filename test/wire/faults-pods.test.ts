import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Load, type LoadReport } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { Pod } from '../kit/pod.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

function manifests(pods: readonly Pod[]): Manifest[] {
  const ports = pods.map(({ port }) => port);
  return [
    ingressClass(),
    ingress({ name: 'pods', host: 'pods.test', paths: { '/': 'pods' } }),
    ...service('pods', ports),
  ];
}

interface Loads {
  gets: Load;
  posts: Load;
}

/** A gateway of two workers before three pods, under constant load. */
async function rig(t: TestContext): Promise<{ sluice: Standalone; pods: Pod[]; loads: Loads; log: string }> {
  const pods = await Promise.all(['one', 'two', 'three'].map((name) => Pod.start(name)));
  const log = join(tmpdir(), `sluice-faults-${process.pid}-${performance.now()}.log`);
  const sluice = await Standalone.start({ manifests: manifests(pods), workers: 2, args: ['--access-log', log] });
  const target = { port: sluice.httpPort, host: 'pods.test' };
  const loads = {
    gets: Load.start({ ...target, connections: 24, requestsPerSecond: 400 }),
    posts: Load.start({ ...target, connections: 8, requestsPerSecond: 100, body: 'x'.repeat(4096) }),
  };
  t.after(async () => {
    await Promise.all([loads.gets.stop(), loads.posts.stop()]);
    await sluice.stop();
    await Promise.all(pods.map((pod) => pod.end('SIGKILL')));
    rmSync(log, { force: true });
  });
  await served(loads, pods);
  return { sluice, pods, loads, log };
}

/** Waits until each of the pods has answered, and some requests more, so that the load is spread over all. */
async function served({ gets }: Loads, pods: readonly Pod[], more = 100): Promise<void> {
  const before = new Map(gets.report.bodies);
  const goal = gets.report.answered + more;
  await waitUntil(
    () =>
      gets.report.answered >= goal &&
      pods.every(({ name }) => (gets.report.bodies.get(name) ?? 0) > (before.get(name) ?? 0)),
    `answers of ${pods.map(({ name }) => name).join()}`,
  );
}

/**
 * No GET has failed. A POST may fail where the pod that had it in progress died: it may have been processed, and that is what
 * the log says of each.
 */
async function assertNothingLost(
  { gets, posts }: Loads,
  log: string,
  t: TestContext,
  mostPosts: number,
): Promise<void> {
  const reports: LoadReport[] = await Promise.all([gets.stop(), posts.stop()]);
  const [get, post] = reports as [LoadReport, LoadReport];
  t.diagnostic(`${get.answered} GETs and ${post.answered} POSTs answered, ${post.failures.length} POSTs failed`);
  assert.deepEqual(get.failures, []);
  assert.ok(post.answered > 0);
  assert.ok(post.failures.length <= mostPosts, post.failures.join('\n'));
  const failed = () =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { method: string; response_code: number; retry_refused: string | null })
      .filter(({ response_code }) => response_code >= 500);
  await waitUntil(() => failed().length >= post.failures.length, 'the log lines');
  for (const line of failed()) assert.deepEqual([line.method, line.retry_refused], ['POST', 'unsafe']);
  assert.equal(failed().length, post.failures.length);
}

test('rolling update of backends that exit at once, while they still are endpoints: no GET is lost', async (t) => {
  const { sluice, pods, loads, log } = await rig(t);
  for (const [at, old] of [...pods].entries()) {
    const fresh = await Pod.start(`${old.name}-new`);
    pods.push(fresh);
    await sluice.apply(manifests(pods));
    await served(loads, [fresh]);
    // The pod is gone before the gateway hears of it.
    await old.end('SIGTERM');
    await served(loads, [fresh]);
    pods.splice(pods.indexOf(old), 1);
    await sluice.apply(manifests(pods));
    await served(loads, pods);
    assert.equal(at + 1, pods.filter(({ name }) => name.endsWith('-new')).length);
  }
  await assertNothingLost(loads, log, t, 3 * 8);
});

test('a backend is killed and stays an endpoint: no GET is lost, and it gets traffic again when it is back', async (t) => {
  const { sluice, pods, loads, log } = await rig(t);
  const [victim, ...others] = pods as [Pod, ...Pod[]];
  await victim.end('SIGKILL');
  await served(loads, others, 400);
  const back = await Pod.start('back');
  pods.push(back);
  await sluice.apply(manifests([...others, back]));
  await served(loads, [...others, back]);
  await assertNothingLost(loads, log, t, 8);
});
