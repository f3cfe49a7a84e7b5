import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { Crew } from '../../proxy/fleet/crew.ts';
import { type Doing, doingOf } from '../../proxy/fleet/doing.ts';
import { Limits } from '../../proxy/listen/limits.ts';
import { bindAddresses } from '../../proxy/listen/sockets.ts';
import { adminPage, fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { plainTable, row, snapshot } from '../kit/rows.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

test('a listener that goes while a successor starts keeps it from nothing', async () => {
  const rows = [...plainTable([]), row('listener', { id: 'extra' })];
  const crew = new Crew({
    size: 1,
    start: { limits: Limits.parse({}), zone: null, node: null, accessLog: 'off', metricsCompat: 'none' },
    codeCache: null,
    answerTimeoutMs: 600_000,
    doingOf: () => null,
    log: pino({ level: 'fatal' }),
    whole: () => ({ delta: { upserts: [...rows], deletes: [] }, hash: 'h' }),
    unhealthy: () => [],
    onLastWords: () => {},
    onAffinity: () => {},
  });
  try {
    for (const each of rows) {
      if (each.kind === 'listener') await crew.listen(each.row, bindAddresses('tcp', each.row.addresses, 0, 1));
    }
    await waitUntil(() => crew.readyCount === 1, 'the worker');
    const [victim = 0] = crew.pids;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => crew.pids[0] !== victim, 'a successor');
    // Its sockets wait to be sent, one after the other.
    await crew.unlisten('extra');
    await waitUntil(() => crew.readyCount === 1, 'the successor');
    assert.equal(crew.restarts, 1);
  } finally {
    await crew.stop(0);
  }
});

test('a worker that the system does not let begin is tried again, and the others go on', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  const { execPath } = process;
  const backend = await NamedBackend.start('one');
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(plainTable([backend.endpoint])));
    const [victim = 0, other] = fleet.state().workerPids;
    // Any error will do that Node throws, as it does ENOMEM, which is not as easily had.
    process.execPath = join(dir, 'loop');
    await symlink(process.execPath, process.execPath);
    process.kill(victim, 'SIGKILL');
    await eventually(
      async () => ((await adminPage(fleet, '/metrics')).text.includes('sluice_workers_ready 1\n') ? true : undefined),
      'the end of the worker to be seen',
    );
    process.execPath = execPath;
    await eventually(
      async () => ((await adminPage(fleet, '/metrics')).text.includes('sluice_workers_ready 2\n') ? true : undefined),
      'a successor',
    );
    assert.equal(fleet.state().workerPids[1], other);
    assert.equal(await fetchOnce(fleet.ports().get('http') ?? 0), 'one');
  } finally {
    process.execPath = execPath;
    await fleet.stop();
    backend.close();
    await rm(dir, { recursive: true });
  }
});

function crewOfOne(answerTimeoutMs: number, look: () => Doing | null): Crew {
  return new Crew({
    size: 1,
    start: { limits: Limits.parse({}), zone: null, node: null, accessLog: 'off', metricsCompat: 'none' },
    ...{ codeCache: null, answerTimeoutMs, doingOf: look, log: pino({ level: 'fatal' }) },
    whole: () => null,
    unhealthy: () => [],
    onLastWords: () => {},
    onAffinity: () => {},
  });
}

test('a worker that lacks nothing but a core is left alone, and one that has had its time of it is replaced', async () => {
  const starved = { wantsCore: true, cpuMs: 0 };
  let looks = 0;
  let doing: Doing = starved;
  const crew = crewOfOne(100, () => {
    looks++;
    return doing;
  });
  try {
    await waitUntil(() => crew.readyCount === 1, 'the worker');
    const [victim = 0] = crew.pids;
    // No scheduler can be told to give it nothing at all; what is said of it is that it would run.
    process.kill(victim, 'SIGSTOP');
    const looksBefore = looks;
    await waitUntil(() => looks > looksBefore + 6, 'looks at the worker');
    assert.deepEqual([crew.pids, crew.restarts], [[victim], 0]);
    doing = { wantsCore: true, cpuMs: 600_000 };
    await waitUntil(() => crew.restarts > 0, 'its end');
    doing = starved;
    await waitUntil(() => crew.readyCount === 1, 'a successor');
    assert.notDeepEqual(crew.pids, [victim]);
  } finally {
    doing = starved;
    await crew.stop(0);
  }
});

test('a change of the table costs no look at what workers do', async () => {
  let looks = 0;
  const crew = crewOfOne(600_000, () => {
    looks++;
    return null;
  });
  try {
    await waitUntil(() => crew.readyCount === 1, 'the worker');
    const looksBefore = looks;
    for (let change = 0; change < 200; change++) await crew.apply({ upserts: [], deletes: [] }, 'h');
    // One for each question whether it is there, which comes by the clock.
    assert.ok(looks - looksBefore < 100);
  } finally {
    await crew.stop(0);
  }
});

test('a process that turns in a circle wants a core and takes it; one that is stopped or waits wants none', async () => {
  const begin = (script: string) => spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  // The kernel shows the name before the state, as it is.
  const circle = begin("process.title = 'a) R (b'; for (;;);");
  const idle = begin("process.title = 'a) R (b'; setInterval(() => {}, 1e9)");
  try {
    await waitUntil(() => doingOf(circle.pid ?? 0)?.wantsCore === true, 'the circle to turn');
    const before = doingOf(circle.pid ?? 0)?.cpuMs ?? 0;
    await waitUntil(() => (doingOf(circle.pid ?? 0)?.cpuMs ?? 0) >= before + 100, 'its time');
    circle.kill('SIGSTOP');
    await waitUntil(() => doingOf(circle.pid ?? 0)?.wantsCore === false, 'its stop');
    await waitUntil(() => doingOf(idle.pid ?? 0)?.wantsCore === false, 'the other to wait');
  } finally {
    const ended = [circle, idle].map((child) => new Promise((resolve) => child.once('exit', resolve)));
    circle.kill('SIGKILL');
    idle.kill('SIGKILL');
    await Promise.all(ended);
  }
  assert.equal(doingOf(circle.pid ?? 0), null);
});
