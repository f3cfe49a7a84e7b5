import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { after, test } from 'node:test';
import type { Fleet } from '../../proxy/main.ts';
import { testFleet } from '../kit/fleet.ts';
import { plainTable, snapshot } from '../kit/rows.ts';

let fleet: Fleet | undefined;

after(() => fleet?.stop());

test('in a worker, requests come before the threads that collect and compile for V8', async () => {
  fleet = await testFleet({ workers: 1 });
  // Answered by a worker that has started.
  await fleet.apply(snapshot(plainTable([])));
  const [pid = 0] = fleet.state().workerPids;
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  const priorities = (isHelper: boolean) =>
    new Set(
      threads
        .filter((thread) => (nameOf(pid, thread) === 'node-V8Worker') === isHelper)
        .map((thread) => getPriority(thread)),
    );
  assert.deepEqual(priorities(true), new Set([Math.min(getPriority() + 10, 19)]));
  assert.deepEqual(priorities(false), new Set([getPriority()]));
});

function nameOf(pid: number, thread: number): string {
  return readFileSync(`/proc/${pid}/task/${thread}/comm`, 'latin1').trim();
}
