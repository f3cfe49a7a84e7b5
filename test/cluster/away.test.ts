import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { eventually } from '../kit/wait.ts';
import { hands, skipWithoutHands } from './hands.ts';
import { Installation } from './installation.ts';
import { handPort, killer } from './objects.ts';
import { Traffic } from './traffic.ts';

/** What is asked of it (`ten minutes`), and no less: leases, tokens and patience run out within it. */
const awayMs = 600_000;

describe('the API server is away for ten minutes', { skip: skipWithoutHands, timeout: 2_400_000 }, () => {
  const sluice = new Installation();
  let isAway = false;

  before(async () => {
    await sluice.start();
    await sluice.kubectl('rollout', 'status', 'daemonset/sluice-edge', '--timeout', '3m');
  });
  after(async () => {
    if (isAway) await hands('api-start');
    await eventually(() => sluice.kubectl('get', 'nodes').catch(() => undefined), 'the API server', 120_000);
    await sluice.remove();
  });

  test('no request fails meanwhile, nor when it is back, though a proxy has ended and begun', async (t) => {
    const holder = await eventually(() => sluice.holder(), 'the node that has the address', 60_000);
    const proxies = await sluice.json('pods', '--selector', 'app.kubernetes.io/component=proxy');
    // The one that has the traffic would take connections with it: nobody can tell the edge in time that it ends.
    const idle = proxies.items?.find(({ spec }) => spec?.nodeName !== holder);
    const [pod = '', node = '', at = ''] = [idle?.metadata?.name, idle?.spec?.nodeName, idle?.status?.podIP];
    await sluice.apply(killer(sluice.image, node));
    await sluice.kubectl('wait', 'pod/killer', '--for=condition=Ready', '--timeout', '3m');
    const { status } = await sluice.json('pod/killer');
    const ask = (path: string) =>
      fetch(`http://${status?.hostIP}:${handPort}${path}`).then(
        (answer) => answer.text(),
        () => undefined,
      );

    const traffic = new Traffic(await sluice.entrance(), sluice.hosts);
    await hands('api-stop');
    isAway = true;
    const untilMs = performance.now() + awayMs;
    await setTimeout(awayMs / 4);
    const ended = await ask(`/kill?pod=${pod}`);
    assert.match(ended ?? '', /^ended [1-9]/);
    const killedMs = performance.now();
    await eventually(
      async () => ((await ask(`/ready?at=${at}`)) === '200 200' ? true : undefined),
      'it to serve',
      300_000,
    );
    t.diagnostic(`${pod} serves again ${((performance.now() - killedMs) / 1_000).toFixed(1)} s after it was killed`);
    await setTimeout(untilMs - performance.now());
    await hands('api-start');
    isAway = false;
    await eventually(() => sluice.kubectl('get', 'nodes').catch(() => undefined), 'the API server', 120_000);
    await sluice.kubectl('wait', 'nodes', '--all', '--for=condition=Ready', '--timeout', '3m');
    // A change goes through again.
    await sluice.restart('deployment/echo');
    const { answered, failures } = await traffic.stop();
    t.diagnostic(`${JSON.stringify(answered)} answered, ${failures.length} failed`);
    assert.deepEqual(failures, []);
  });
});
