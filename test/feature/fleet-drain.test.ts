import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { adminPage, fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf } from '../kit/procfs.ts';
import { endpointsRow, plainHealthCheck, plainTable, row, snapshot } from '../kit/rows.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const backend = await NamedBackend.start('one');
const second = await NamedBackend.start('two');
after(() => {
  backend.close();
  second.close();
});

test('a fleet that drains follows its tables, though some of its workers have gone', async () => {
  const fleet = await testFleet({ drainGraceMs: 60_000 });
  const rows = plainTable([backend.endpoint]);
  await fleet.apply(snapshot(rows));
  const { workerPids } = fleet.state();
  const held = fetchOnce(fleet.ports().get('http') ?? 0, '/held');
  await waitUntil(() => backend.heldCount === 1, 'a request to be held');
  const stopped = fleet.stop();
  await waitUntil(
    () => childrenOf(process.pid).filter((pid) => workerPids.includes(pid)).length === 1,
    'the idle worker to go',
  );
  const others = rows.filter(({ kind }) => kind !== 'endpoints');
  const moved = snapshot([...others, endpointsRow([second.endpoint]), row('listener', { id: 'late' })]);
  const ack = await fleet.apply(moved);
  assert.equal(ack.type, 'applied');
  assert.equal(fleet.ports().has('late'), false);
  backend.release();
  assert.equal(await held, 'one');
  await stopped;
});

test('a fleet that drains goes on asking its endpoints how they are: what is tried again goes to one that is well', async () => {
  const [dying, ill, well] = await Promise.all(['dying', 'ill', 'well'].map((name) => NamedBackend.start(name)));
  assert.ok(dying && ill && well);
  const fleet = await testFleet({ drainGraceMs: 60_000 });
  let stopped: Promise<void> | null = null;
  try {
    const probe = { ...plainHealthCheck.probe, path: '/broken' };
    const backendRow = row('backend', { id: 'b', healthCheck: { ...plainHealthCheck, probe } });
    const others = plainTable([]).filter(({ kind }) => kind !== 'backend' && kind !== 'endpoints');
    const healthy = async () =>
      /^sluice_backend_healthy_endpoints\{[^}]*\} (\d)$/m.exec((await adminPage(fleet, '/metrics')).text)?.[1];
    await fleet.apply(snapshot([...others, backendRow, endpointsRow([dying.endpoint])]));
    const port = fleet.ports().get('http') ?? 0;
    const held = Array.from({ length: 8 }, () => fetchOnce(port, '/held'));
    await waitUntil(() => dying.heldCount === 8, 'requests to be held');
    const all = [dying, ill, well].map(({ endpoint }) => endpoint);
    await fleet.apply(snapshot([...others, backendRow, endpointsRow(all)]));
    stopped = fleet.stop();
    ill.isBroken = true;
    await eventually(async () => ((await healthy()) === '2' ? true : undefined), 'one of three to be out');
    dying.close();
    await waitUntil(() => well.heldCount === 8, 'all to be sent to the one that is well');
    well.release();
    assert.deepEqual(new Set(await Promise.all(held)), new Set(['well']));
  } finally {
    for (const each of [dying, ill, well]) each.close();
    await (stopped ?? fleet.stop());
  }
});

test('a terminal that is closed ends a standalone as its own word does: what is in flight is answered', async () => {
  const everything = ingress({ name: 'a', host: 'a.test', paths: { '/': 's' } });
  const manifests = [ingressClass(), everything, ...service('s', [backend.endpoint.port])];
  const sluice = await Standalone.start({ manifests, workers: 2 });
  try {
    const held = fetchOnce(sluice.httpPort, '/held');
    await waitUntil(() => backend.heldCount === 1, 'a request to be held');
    // All that were started from it are told, by the shell and by the kernel.
    const hangUp = () => {
      for (const pid of [...childrenOf(sluice.process.pid), sluice.process.pid]) process.kill(pid, 'SIGHUP');
    };
    hangUp();
    await eventually(
      async () => ((await fetchOnce(sluice.httpPort)) === 'error ECONNREFUSED' ? true : undefined),
      'no more accepting',
    );
    hangUp();
    backend.release();
    assert.equal(await held, 'one');
    assert.deepEqual(await sluice.process.ended(), { code: 0, signal: null });
  } finally {
    await sluice.discard();
  }
});

test('a standalone that serves on before it ends follows its manifests', async () => {
  const manifestsOf = ({ port }: { port: number }) => [
    ingressClass(),
    ingress({ name: 'a', host: 'a.test', paths: { '/': 's' } }),
    ...service('s', [port]),
  ];
  const sluice = await Standalone.start({ manifests: manifestsOf(backend.endpoint), args: ['--drain-delay', '1h'] });
  try {
    sluice.process.signal('SIGTERM');
    await eventually(
      async () => ((await sluice.admin('/readyz')).includes('draining') ? true : undefined),
      'it to be unready',
    );
    await sluice.apply(manifestsOf(second.endpoint));
    assert.equal(await fetchOnce(sluice.httpPort), 'two');
  } finally {
    await sluice.discard();
  }
});
