import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { Installation, skipWithoutCluster } from './installation.ts';

/** How long pods take from the start of their process until they could take traffic, by their own clocks; it is told, not judged. */
describe('pods are ready soon', { skip: skipWithoutCluster, timeout: 900_000 }, () => {
  const sluice = new Installation({
    edge: { enabled: false },
    proxy: { workers: 1, service: { type: 'NodePort', externalTrafficPolicy: 'Cluster' } },
  });

  before(() => sluice.start());
  after(() => sluice.remove());

  // Of a rollout: the keys are there, and controllers are.
  for (const [component, word] of [
    ['controller', 'ready'],
    ['proxy', 'listening'],
  ] as const) {
    test(`a ${component}`, async (t) => {
      await sluice.restart(`deployment/sluice-${component}`);
      for (const pod of await sluice.pods()) if (pod.includes(component)) await measure(t, pod, word);
    });
  }

  async function measure(t: TestContext, pod: string, word: string): Promise<void> {
    const log = await sluice.kubectl('logs', pod);
    const times = [...log.matchAll(/"time":(\d+).*"msg":"(\w+)"/g)].flatMap(([, time, said]) =>
      said === word ? Number(time) : [],
    );
    // Process 1 has begun so many hundredths of a second after the machine (proc_pid_stat(5), field 22).
    const began = Number(
      await sluice.kubectl(
        'exec',
        pod,
        '--',
        'node',
        '-p',
        `const read = require('fs').readFileSync; Date.now() - 1000 * (parseFloat(read('/proc/uptime')) - read('/proc/1/stat', 'utf8').split(') ')[1].split(' ')[19] / 100)`,
      ),
    );
    const { status } = await sluice.json(`pod/${pod}`);
    const at = (condition: string) =>
      Date.parse(status?.conditions?.find(({ type }) => type === condition)?.lastTransitionTime ?? '');
    const started = Date.parse(status?.containerStatuses?.[0]?.state?.running?.startedAt ?? '');
    assert.equal(times.length, 1, log.slice(0, 2_000));
    t.diagnostic(
      `${pod}: ${word} ${Math.round((times[0] ?? 0) - began)} ms after its process began; Ready ${(at('Ready') - started) / 1_000} s after its container, as the kubelet says (whole seconds)`,
    );
    assert.ok(at('Ready') >= started);
  }
});
