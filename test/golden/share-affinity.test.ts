import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AffinityEntry, LocalAffinity } from '../../proxy/share/affinity.ts';

describe('affinity memory', () => {
  test('is bounded: who was quiet longest goes first', () => {
    const memory = new LocalAffinity({ maxClients: 3 });
    for (const client of ['a', 'b', 'c']) memory.remember(client, 'x:1', 1000, 0);
    memory.recall('a', 1000, 1);
    memory.remember('d', 'x:1', 1000, 2);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((client) => memory.recall(client, 1000, 3)),
      ['x:1', undefined, 'x:1', 'x:1'],
    );
  });
  test('tells of use only when the expiry has moved by a tenth, and not what it learned', () => {
    const told: number[] = [];
    const memory = new LocalAffinity();
    memory.onRemember((entry) => told.push(entry.expiresMs));
    memory.remember('a', 'x:1', 1000, 0);
    for (let nowMs = 0; nowMs <= 500; nowMs++) memory.recall('a', 1000, nowMs);
    assert.deepEqual(told, [1000, 1101, 1202, 1303, 1404]);
    memory.learn({ id: 'b', endpoint: 'y:1', expiresMs: 9000 });
    assert.equal(told.length, 5);
  });
  test('of two accounts the later counts, in whatever order they come', () => {
    const early = { id: 'a', endpoint: 'x:1', expiresMs: 1000 };
    const late = { ...early, endpoint: 'y:1', expiresMs: 2000 };
    const tie = { ...late, endpoint: 'a:1' };
    for (const entries of [
      [early, late, tie],
      [tie, late, early],
      [late, early, tie],
    ]) {
      const memory = new LocalAffinity();
      for (const entry of entries) memory.learn(entry);
      assert.equal(memory.recall('a', 10, 1), 'a:1');
    }
  });
  test('processes that began at different times mean the same moment', () => {
    const told: AffinityEntry[] = [];
    const early = new LocalAffinity({ clockOriginMs: 1_000_000.4 });
    early.onRemember((entry) => told.push(entry));
    early.remember('a', 'x:1', 1000, 50_000.7);
    assert.deepEqual(told, [{ id: 'a', endpoint: 'x:1', expiresMs: 1_051_001 }]);
    const late = new LocalAffinity({ clockOriginMs: 1_049_000 });
    for (const entry of told) late.learn(entry);
    assert.equal(late.recall('a', 0, 2_000), 'x:1');
    assert.equal(late.recall('a', 0, 2_001), undefined);
  });
});
