import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Candidate, hashOf, PathIndex } from '../../proxy/match/pathindex.ts';
import type { Rule } from '../../proxy/match/rule.ts';

/** Few keys and owners, so that they meet; enough for the index to grow, and to close gaps over the end of it. */
const step = fc.record({ isGone: fc.boolean(), owner: fc.nat(2), key: fc.nat(150), rank: fc.nat(3) });

test('the index answers as a map of sorted lists does, whatever came and went', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500, size: 'max' }), (steps) => {
      const index = new PathIndex();
      const known = new Map<string, Candidate>();
      for (const { isGone, owner, key: number, rank } of steps) {
        const key = `/k${number}`;
        const name = `${owner} ${key} ${rank}`;
        const before = known.get(name);
        if (isGone) {
          known.delete(name);
          const left = before === undefined ? null : listOf(known, owner, key).length > 0 ? 'some' : 'nothing';
          assert.equal(index.remove(owner, before?.rule ?? ({ key } as Rule)), left);
        } else if (before === undefined) {
          const isFirst = listOf(known, owner, key).length === 0;
          const candidate = { owner, key, condition: rank, rule: { key } as Rule, next: null } as unknown as Candidate;
          known.set(name, candidate);
          assert.equal(
            index.add(candidate, (a, b) => Number(a.condition) < Number(b.condition)),
            isFirst,
          );
        }
      }
      for (let owner = 0; owner < 4; owner++) {
        for (let number = 0; number <= 150; number++) {
          const key = `/k${number}`;
          const path = `${key}/rest`;
          const found: Candidate[] = [];
          const first = index.find(owner, hashOf(path, key.length), path, key.length);
          for (let each = first; each !== null; each = each.next) found.push(each);
          assert.deepEqual(found, listOf(known, owner, key));
        }
      }
    }),
    { numRuns: 50 },
  );
});

function listOf(known: ReadonlyMap<string, Candidate>, owner: number, key: string): Candidate[] {
  return [0, 1, 2, 3].flatMap((rank) => known.get(`${owner} ${key} ${rank}`) ?? []);
}
