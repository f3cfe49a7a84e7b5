import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Expiring, Sweep } from '../../proxy/listen/sweep.ts';
import { waitUntil } from '../kit/wait.ts';

/** Ends, and takes others with it, as connections do. */
class Ending implements Expiring {
  sweepIndex = -1;
  expiresAtMs = 0;
  readonly #end: () => void;

  constructor(end: () => void) {
    this.#end = end;
  }

  expired(): void {
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    this.#end();
  }
}

test('what expires together ends in pieces, so that others have their turns, and all of it ends', async () => {
  const sweep = new Sweep<Ending>();
  const perTurn = new Map<number, number>();
  let turn = 0;
  let ended = 0;
  for (let nth = 0; nth < 1_000; nth++) {
    const item = new Ending(() => {
      ended++;
      perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
      sweep.remove(item);
      // Another's end: of one that was looked at already, or of one that was not.
      if (nth % 5 === 0) sweep.remove(companion);
    });
    const companion = new Ending(() => assert.fail('it does not expire'));
    companion.expiresAtMs = Number.POSITIVE_INFINITY;
    sweep.add(companion);
    sweep.add(item);
  }
  const stays = new Ending(() => assert.fail('its time is not up'));
  stays.expiresAtMs = Number.POSITIVE_INFINITY;
  sweep.add(stays);
  const count = () => {
    turn++;
    if (ended < 1_000) setImmediate(count);
  };
  setImmediate(count);
  await waitUntil(() => ended === 1_000, 'everything to expire');
  assert.ok(Math.max(...perTurn.values()) <= 32, `${Math.max(...perTurn.values())} in one turn`);
  assert.equal(sweep.size, 801);
});
