import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emptyTableOf } from '#table/contract.ts';
import { planContract } from '#table/plan.ts';
import { DataPlane } from '../../proxy/edge/dataplane.ts';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { quiet } from '../kit/quiet.ts';

const skip = await skipWithoutNetns();

describe('the whole table is written anew', { skip, timeout: 60_000 }, () => {
  const path = process.env['PATH'] ?? '';
  const nothing = { upserts: [], deletes: [] };
  let netns: Netns;
  let dir: string;
  let rules: DataPlane;

  before(async () => {
    if (skip) return;
    netns = await Netns.make('rewrite');
    dir = await mkdtemp(join(tmpdir(), 'sluice-rewrite-'));
    // The rules of a namespace, from without.
    const script = `#!/bin/sh\nPATH='${path}' exec ip netns exec ${netns.name} nft "$@"\n`;
    await writeFile(join(dir, 'nft'), script, { mode: 0o755 });
    process.env['PATH'] = `${dir}${delimiter}${path}`;
    rules = await DataPlane.open({
      node: 'a',
      scope: 'all',
      podCidrs: null,
      podInterfaces: [],
      masqueradeBit: 0x4000,
      log: quiet,
    });
    await rules.apply(emptyTableOf(planContract), nothing);
  });

  after(async () => {
    process.env['PATH'] = path;
    await netns?.remove();
    if (!skip) await rm(dir, { recursive: true });
  });

  /** What load balancers and neighbours are told meanwhile. */
  async function saidDuring(work: Promise<void>): Promise<Set<string | null>> {
    const said = new Set<string | null>();
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      said.add(rules.unreadyReason);
      await new Promise(setImmediate);
    }
    await done;
    return said;
  }

  test('as it is every hour: the rules are in force meanwhile', async () => {
    assert.equal(rules.unreadyReason, null);
    assert.deepEqual(await saidDuring(rules.restore()), new Set([null]));
    assert.equal(rules.figures.syncs, 2);
  });

  test('as somebody has flushed it: the rules are in force when it is there', async () => {
    await netns.exec('nft', 'flush', 'ruleset');
    assert.deepEqual(await saidDuring(rules.verify()), new Set([null, 'the rules are not in force']));
    assert.equal(rules.unreadyReason, null);
    assert.equal(rules.figures.syncs, 3);
  });
});
