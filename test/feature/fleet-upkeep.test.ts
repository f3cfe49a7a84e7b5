import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { HealthCheck } from '#table/resilience.ts';
import type { Row } from '#table/rows.ts';
import { adminPage, fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { endpointsRow, plainHealthCheck, plainTable, row, snapshot } from '../kit/rows.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const [one, two] = [await NamedBackend.start('one'), await NamedBackend.start('two')];
after(() => {
  one.close();
  two.close();
});

/** The plain table with other rows in the place of those of the same kind and id. */
function tableWith(...rows: Row[]): Row[] {
  const isReplaced = (plain: Row) => rows.some(({ kind, row: { id } }) => kind === plain.kind && id === plain.row.id);
  return [...plainTable([one.endpoint]).filter((plain) => !isReplaced(plain)), ...rows];
}

async function answers(port: number, count: number): Promise<string[]> {
  return [...new Set(await Promise.all(Array.from({ length: count }, () => fetchOnce(port))))].sort();
}

test('an endpoint that fails its health check gets no request from any worker, nor from a successor', async () => {
  const probe = { ...plainHealthCheck.probe, path: '/broken' } as HealthCheck['probe'];
  const healthCheck = { ...plainHealthCheck, probe, intervalMs: 100 };
  const fleet = await testFleet();
  try {
    two.isBroken = true;
    await fleet.apply(
      snapshot(tableWith(row('backend', { id: 'b', healthCheck }), endpointsRow([one.endpoint, two.endpoint]))),
    );
    const port = fleet.ports().get('http') ?? 0;
    await eventually(async () => ((await answers(port, 20)).join() === 'one' ? true : undefined), 'the probe to tell');
    const { text: metrics } = await adminPage(fleet, '/metrics');
    assert.match(metrics, /^sluice_backend_probed_endpoints\{backend="b"\} 2$/m);
    assert.match(metrics, /^sluice_backend_healthy_endpoints\{backend="b"\} 1$/m);
    const [victim = 0] = fleet.state().workerPids;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => fleet.state().workerPids[0] !== victim, 'a successor');
    assert.deepEqual(await answers(port, 40), ['one']);
    two.isBroken = false;
    await eventually(async () => ((await answers(port, 20)).join() === 'one,two' ? true : undefined), 'its recovery');
  } finally {
    two.isBroken = false;
    await fleet.stop();
  }
});

test('a named backend is resolved for all workers and for a successor; a name that leads nowhere is a problem', async () => {
  const fleet = await testFleet();
  try {
    const dns = { name: 'localhost', port: one.port };
    const named = row('endpoints', { id: 'e', dns });
    // Of the same name: it stays known whatever becomes of the other row.
    const beside = row('endpoints', { id: 'beside', backendIds: [], dns });
    assert.equal((await fleet.apply(snapshot(tableWith(named, beside)))).type, 'applied');
    const port = fleet.ports().get('http') ?? 0;
    await eventually(async () => ((await answers(port, 20)).join() === 'one' ? true : undefined), 'the name');
    const { backends } = JSON.parse((await adminPage(fleet, '/endpoints')).text);
    assert.ok(backends[0].endpoints > 0);
    assert.equal(backends[0].ready, backends[0].endpoints);
    const [victim = 0] = fleet.state().workerPids;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => fleet.state().workerPids[0] !== victim, 'a successor');
    assert.deepEqual(await answers(port, 40), ['one']);

    const nowhere = row('endpoints', { id: 'e', dns: { name: '169.254.169.254', port: 80 } });
    assert.equal((await fleet.apply(snapshot(tableWith(nowhere, beside)))).type, 'applied');
    const told = async () =>
      (await adminPage(fleet, '/problems')).text.includes('ExternalNameRefused') ? true : undefined;
    await eventually(told, 'the problem');
    assert.deepEqual(await answers(port, 4), ['status 503']);

    assert.equal((await fleet.apply(snapshot(tableWith(named, beside)))).type, 'applied');
    assert.deepEqual(await answers(port, 4), ['one']);
    assert.equal((await adminPage(fleet, '/problems')).text, '[]\n');
  } finally {
    await fleet.stop();
  }
});

test('a table that a worker cannot apply is taken back everywhere', async () => {
  const fleet = await testFleet();
  try {
    await fleet.apply(snapshot(tableWith()));
    const port = fleet.ports().get('http') ?? 0;
    // What the stream's schemas let through would never get here; this is a fault of our own.
    const poison = { kind: 'backend', row: { ...row('backend', { id: 'b' }).row, balance: null } } as unknown as Row;
    const ack = await fleet.apply(snapshot(tableWith(poison, endpointsRow([two.endpoint]))));
    assert.ok(ack.type === 'refused' && ack.problems[0]?.code === 'TableNotApplied');
    assert.deepEqual(await answers(port, 20), ['one']);
    assert.equal((await fleet.apply(snapshot(tableWith(endpointsRow([two.endpoint]))))).type, 'applied');
    assert.deepEqual(await answers(port, 20), ['two']);
  } finally {
    await fleet.stop();
  }
});

test('access logs of all workers go to one file, and to a new one after its rotation', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  const file = join(dir, 'access.log');
  const fleet = await testFleet({ accessLog: file });
  const lines = async (path: string) =>
    (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
  const written = async (path: string, count: number) => ((await lines(path)).length >= count ? true : undefined);
  try {
    await fleet.apply(snapshot(tableWith()));
    const port = fleet.ports().get('http') ?? 0;
    await answers(port, 30);
    await eventually(() => written(file, 30), '30 lines');
    await rename(file, `${file}.1`);
    fleet.reopenLogs();
    await eventually(async () => {
      await fetchOnce(port);
      return written(file, 1);
    }, 'the new file');
    for (const line of await lines(`${file}.1`)) assert.equal(JSON.parse(line).response_code, 200);
  } finally {
    await fleet.stop();
    await rm(dir, { recursive: true });
  }
});
