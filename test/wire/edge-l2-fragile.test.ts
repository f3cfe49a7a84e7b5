import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { emptyPlan, heartbeatSecretId, type PlanRows } from '#table/plan.ts';
import { ArpSettings } from '../../proxy/announce/arp.ts';
import { Holdings } from '../../proxy/announce/holdings.ts';
import { Layer2 } from '../../proxy/announce/layer2.ts';
import { probe } from '../../proxy/announce/prober.ts';
import { Strays } from '../../proxy/announce/strays.ts';
import type { Delta } from '../../proxy/receive/changes.ts';
import { applyDelta } from '../../proxy/receive/delta.ts';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { planRow } from '../kit/plans.ts';
import { freePorts } from '../kit/ports.ts';
import { quiet } from '../kit/quiet.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

/** What becomes of addresses when the tools that put them into the kernel fail, hang, or are overtaken by the plan. */

const skip = await skipWithoutNetns(['nft', 'arping', 'nsenter']);
const vip = '10.9.0.50';
let dir = '';
let netns: Netns;

/** The tools of this process work in a namespace; `ip` waits, or fails, for commands that the file of that name matches. */
before(async () => {
  if (skip !== false) return;
  netns = await Netns.make('fragile');
  await netns.ip(
    'link add eth0 type veth peer name eth1',
    'link set eth0 up',
    'link set eth1 up',
    'addr add 10.9.0.1/24 dev eth0',
  );
  dir = await mkdtemp(join(tmpdir(), 'sluice-fragile-'));
  const path = process.env['PATH'] ?? '';
  const inside = `exec nsenter --net=/run/netns/${netns.name} env PATH='${path}'`;
  for (const tool of ['nft', 'arping', 'ndptool']) {
    await writeFile(join(dir, tool), `#!/bin/sh\n${inside} ${tool} "$@"\n`, { mode: 0o755 });
  }
  const script = `#!/bin/sh
[ "$2" != -force ] && ${inside} ip "$@"
text=$(cat)
is() { [ -s ${dir}/$1 ] && printf '%s' "$text" | grep -q -f ${dir}/$1; }
is fail && echo >> ${dir}/failed && exit 1
is wait && echo >> ${dir}/waiting
while is wait; do sleep 0.01; done
printf '%s\\n' "$text" | ${inside.slice('exec '.length)} ip "$@"
`;
  await writeFile(join(dir, 'ip'), script, { mode: 0o755 });
  process.env['PATH'] = `${dir}${delimiter}${path}`;
});

beforeEach(async () => {
  for (const name of ['fail', 'failed', 'wait', 'waiting']) await rm(join(dir, name), { force: true });
});

after(async () => {
  if (skip !== false) return;
  await netns.remove();
  await rm(dir, { recursive: true });
});

const doFor = (what: 'fail' | 'wait', pattern: string) => writeFile(join(dir, what), pattern);
const waits = () => eventually(async () => ((await times('waiting')) > 0 ? true : undefined), 'ip to be held up');
const times = async (name: string) => (await readFile(join(dir, name), 'utf8').catch(() => '')).length;
/** Whoever waited goes on, and what follows from that has come. */
async function letGo(): Promise<void> {
  await rm(join(dir, 'wait'));
  await probe([{ address: '10.9.0.70', link: 'eth0' }]);
}
const kernelHas = async (address: string) => (await netns.exec('ip', '-o', 'address', 'show')).includes(` ${address}/`);

/** One node alone, with a plan that announces the address, or not any more. */
async function startLayer2() {
  const [heartbeatPort = 0] = await freePorts(1);
  const layer2 = await Layer2.open({
    node: 'one',
    unreadyReason: () => null,
    runDir: dir,
    isPlanLive: () => true,
    heartbeatPort,
    addressLifetimeS: 3,
    log: quiet,
  });
  const plan = emptyPlan();
  const rows = [
    planRow('secret', { id: heartbeatSecretId, value: Buffer.alloc(32, 7).toString('base64') }),
    planRow('node', { id: 'two', addresses: ['127.0.0.2'] }),
    planRow('announcement', { id: 'l2', nodes: ['one', 'two'], layer2: { interfaces: [] } }),
    planRow('address', { id: vip, pool: 'p', serviceIds: [], announcementIds: ['l2'] }),
  ];
  const apply = async (delta: Delta<PlanRows>) => {
    applyDelta(plan, delta);
    await layer2.withdraw(plan, delta);
    return layer2.announce(plan, delta);
  };
  return {
    layer2,
    has: () => [...layer2.announced()].some(({ address }) => address === vip),
    announce: () => apply({ upserts: rows, deletes: [] }),
    drop: () => apply({ upserts: [], deletes: [{ kind: 'address', id: vip }] }),
    async [Symbol.asyncDispose]() {
      await rm(join(dir, 'wait'), { force: true });
      await layer2.stop();
      await netns.ip(`addr del ${vip}/32 dev eth0`).catch(() => {});
    },
  };
}

test('an address that is released while it is renewed is gone', { skip }, async () => {
  const holdings = new Holdings(10, new ArpSettings(dir, quiet), quiet);
  assert.deepEqual(await holdings.take([{ address: vip, link: 'eth0' }]), [vip]);
  const renewed = holdings.renew();
  await setImmediate();
  await Promise.all([holdings.release([vip]), renewed]);
  assert.equal(holdings.get(vip), null);
  assert.deepEqual(await holdings.renew(), []);
  assert.equal(await kernelHas(vip), false);
});

test('an address that the plan drops while it is taken is not kept', { skip }, async () => {
  await using rig = await startLayer2();
  await doFor('wait', 'addr replace');
  const announced = rig.announce();
  await waits();
  const dropped = rig.drop();
  await rm(join(dir, 'wait'));
  await Promise.all([announced, dropped]);
  assert.equal(rig.has(), false);
  assert.equal(await kernelHas(vip), false);
});

test('links that cannot be read for once are no reason to give addresses away', { skip }, async () => {
  await using rig = await startLayer2();
  await rig.announce();
  await waitUntil(rig.has, 'the address to be taken');
  await doFor('fail', 'address show');
  await eventually(async () => ((await times('failed')) > 1 ? true : undefined), 'the links to be asked for twice');
  assert.equal(rig.has(), true);
});

test('what cannot be asked for is not taken for silence', { skip }, async () => {
  const targets = [
    { address: '10.9.0.60', link: 'eth0' },
    { address: '10.9.0.61', link: 'gone0' },
  ];
  assert.deepEqual([...(await probe(targets))], [['10.9.0.60', null]]);
  await doFor('fail', 'neigh show');
  assert.deepEqual([...(await probe(targets))], []);
});

test('what cannot be done is not thought done where ip says no more than that it failed', { skip }, async () => {
  const holdings = new Holdings(10, new ArpSettings(dir, quiet), quiet);
  await doFor('fail', 'addr replace');
  assert.deepEqual(await holdings.take([{ address: vip, link: 'eth0' }]), []);
});

test('what an earlier agent knew of connections of an address ends when this one takes it', { skip }, async () => {
  await new Strays(quiet).release([vip]);
  const ruleset = () => netns.exec('nft', 'list', 'ruleset');
  assert.match(await ruleset(), /elements = \{ 10\.9\.0\.50 /);
  await new Strays(quiet).take([vip], [], []);
  assert.doesNotMatch(await ruleset(), /10\.9\.0\.50/);
});

test('an agent that has ended takes nothing', { skip }, async () => {
  await using rig = await startLayer2();
  await doFor('wait', 'neigh show');
  const announced = rig.announce();
  await waits();
  const questions = () => /^sluice_layer2_questions_total .*$/m.exec(rig.layer2.figures())?.[0];
  const before = questions();
  await rig.layer2.stop();
  await letGo();
  await announced;
  assert.equal(questions(), before);
});

test('an agent that has ended says nothing', { skip }, async () => {
  await using rig = await startLayer2();
  await rig.announce();
  await waitUntil(rig.has, 'the address to be taken');
  await doFor('wait', 'address show');
  await waits();
  await rig.layer2.stop();
  await letGo();
});
