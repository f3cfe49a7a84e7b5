import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fetchOnce, NamedBackend, testFleet } from '../kit/fleet.ts';
import { childrenOf } from '../kit/procfs.ts';
import { endpointsRow, plainTable, row, snapshot } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const backend = await NamedBackend.start('one');
const second = await NamedBackend.start('two');
after(() => {
  backend.close();
  second.close();
});

test('a fleet that drains follows its tables, though some of its workers have gone', async () => {
  const fleet = await testFleet();
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
