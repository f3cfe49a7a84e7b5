import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import type { AddressPoolStatus } from '../../controller/addresses/addresspool.ts';
import { PoolWriter } from '../../controller/status/poolwriter.ts';
import type { ApiAnswer, Cluster } from '../../controller/watch/api.ts';
import { quiet } from '../kit/quiet.ts';

test('a pool that changes while its status is written is written again', async (t) => {
  const rig = makeRig(t);
  rig.writer.lead(true);
  await rig.after(0);
  assert.equal(rig.calls.length, 1);
  // Deleted and made anew: what is answered is said of the old one.
  rig.writer.changed(['public']);
  rig.answer(404);
  await rig.after(500);
  assert.equal(rig.calls.length, 2);
  rig.answer(200);
  await rig.after(500);
  assert.equal(rig.calls.length, 2);
});

test('a refusal is logged once while it lasts, and anew when it comes again', async (t) => {
  const rig = makeRig(t);
  rig.usage.set('inside', rig.usage.get('public') ?? {});
  rig.writer.lead(true);
  await rig.after(0);
  for (let pass = 0; pass < 3; pass++) {
    rig.answer(403, 'public is forbidden');
    await rig.after(0);
    rig.answer(403, 'inside is forbidden');
    await rig.after(10_000);
  }
  assert.equal(rig.warnings.length, 2);
  rig.answer(200);
  await rig.after(0);
  rig.answer(200);
  await rig.after(0);
  rig.writer.changed(['public']);
  await rig.after(500);
  rig.answer(403, 'public is forbidden');
  await rig.after(0);
  assert.equal(rig.warnings.length, 3);
});

/** A writer of one pool at first, before an API server that answers when it is told to. */
function makeRig(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const calls: ((answer: ApiAnswer) => void)[] = [];
  const warnings: string[] = [];
  const usage = new Map<string, AddressPoolStatus>([['public', { ipv4: { assigned: 1, available: 15 } }]]);
  const cluster = { call: () => new Promise<ApiAnswer>((resolve) => calls.push(resolve)) };
  const log: Log = { ...quiet, warn: (_fields: object, text: string) => void warnings.push(text) };
  const writer = new PoolWriter({
    cluster: cluster as unknown as Cluster,
    usage: () => new Map(usage),
    log,
  });
  t.after(() => writer.stop());
  return {
    writer,
    usage,
    calls,
    warnings,
    answer: (code: number, message = '') => calls.at(-1)?.({ status: code, body: { message }, retryAfterMs: null }),
    async after(ms: number): Promise<void> {
      await turn();
      t.mock.timers.tick(ms);
      await turn();
    },
  };
}
