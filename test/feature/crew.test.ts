import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { Crew } from '../../proxy/fleet/crew.ts';
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
