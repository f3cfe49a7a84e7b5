import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../kit/wait.ts';
import { hands, skipWithoutHands } from './hands.ts';
import { Installation } from './installation.ts';
import type { Entrance } from './traffic.ts';

/** The power of the node goes through which all traffic comes. */
describe('the loss of a node', { skip: skipWithoutHands, timeout: 900_000 }, () => {
  const sluice = new Installation();
  let lost: string | null = null;

  before(async () => {
    await sluice.start();
    await sluice.kubectl('rollout', 'status', 'daemonset/sluice-edge', '--timeout', '3m');
  });
  after(async () => {
    if (lost !== null) await hands('node-start', lost);
    await sluice.kubectl('wait', 'nodes', '--all', '--for=condition=Ready', '--timeout', '3m');
    await sluice.remove();
  });

  test('traffic goes on through another', async (t) => {
    const entrance = await sluice.entrance();
    lost = await eventually(() => sluice.holder(), 'the node that has the address', 60_000);
    const beganMs = performance.now();
    await hands('node-stop', lost ?? '');
    const stoppedMs = performance.now();
    // Connections of before are gone with it; new ones are asked for until one is answered.
    const backMs = await firstAnswer(entrance);
    t.diagnostic(`${Math.round(backMs - stoppedMs)} to ${Math.round(backMs - beganMs)} ms after the end of ${lost}`);
    const next = await eventually(
      async () => {
        const node = await sluice.holder();
        return node === lost ? undefined : node;
      },
      'another to have the address',
      60_000,
    );
    assert.notEqual(next, lost);
  });
});

/** When somebody who asks ten times a second, whatever has become of what was asked before, is answered. */
function firstAnswer({ address, http }: Entrance): Promise<number> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const asked = get({ host: address, port: http, headers: { host: 'echo.test' }, agent: false }, (answer) => {
        if (answer.resume().statusCode !== 200) return;
        clearInterval(timer);
        resolve(performance.now());
      });
      asked.on('error', () => undefined);
      asked.setTimeout(10_000, () => asked.destroy());
    }, 100);
  });
}
