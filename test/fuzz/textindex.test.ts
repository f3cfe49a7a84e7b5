import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hashFurther, hashOf, type Indexed, TextIndex } from '../../proxy/match/textindex.ts';

interface Entry extends Indexed<Entry> {
  readonly rank: number;
}

/** Few keys and owners, so that they meet; enough for the index to grow, and to close gaps over the end of it. */
const step = fc.record({ isGone: fc.boolean(), owner: fc.nat(2), key: fc.nat(150), rank: fc.nat(3) });

test('the index answers as a map of sorted lists does, whatever came and went', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 500, size: 'max' }), (steps) => {
      const index = new TextIndex<Entry>();
      const known = new Map<string, Entry>();
      for (const { isGone, owner, key: number, rank } of steps) {
        const key = `/k${number}`;
        const name = `${owner} ${key} ${rank}`;
        const before = known.get(name);
        if (isGone) {
          known.delete(name);
          const left = before === undefined ? null : listOf(known, owner, key).length > 0 ? 'some' : 'nothing';
          assert.equal(
            index.remove(owner, key, (entry) => entry === before),
            left,
          );
        } else if (before === undefined) {
          const isFirst = listOf(known, owner, key).length === 0;
          const entry = entryOf(owner, key, rank);
          known.set(name, entry);
          assert.equal(
            index.add(entry, (a, b) => a.rank < b.rank),
            isFirst,
          );
        }
      }
      for (let owner = 0; owner < 4; owner++) {
        for (let number = 0; number <= 150; number++) {
          const key = `/k${number}`;
          const path = `${key}/rest`;
          const found: Entry[] = [];
          const first = index.find(owner, hashOf(path, key.length), path, key.length);
          for (let each = first; each !== null; each = each.next) found.push(each);
          assert.deepEqual(found, listOf(known, owner, key));
        }
      }
    }),
    { numRuns: 50 },
  );
});

test('keys that come and go, each time of another length, are found while they are there', () => {
  const index = new TextIndex<Entry>();
  const found = (key: string) => index.find(0, hashOf(key, key.length), key, key.length)?.key;
  const staying = entryOf(0, '/stays', 0);
  index.add(staying, () => false);
  for (let length = 1; length < 40; length++) {
    const entries = Array.from({ length: 100 }, (_, number) => entryOf(0, `/${number}`.padEnd(5 + length, '-'), 0));
    for (const entry of entries) index.add(entry, () => false);
    for (const { key } of entries) assert.equal(found(key), key);
    for (const { key } of entries) index.remove(0, key, () => true);
    for (const { key } of entries) assert.equal(found(key), undefined);
    assert.equal(found(staying.key), staying.key);
  }
});

test('paths that were made to have one hash have many', () => {
  // Two texts that lead to one hash, one such pair after the other: every choice of one of each does.
  let hash = fnv(fnvStart, '/');
  let paths = ['/'];
  for (let pair = 0; pair < 10; pair++) {
    const seen = new Map<number, string>();
    for (let number = 0; paths.length === 1 << pair; number++) {
      const text = number.toString(36).padStart(5, '0');
      const further = fnv(hash, text);
      const other = seen.get(further);
      seen.set(further, text);
      if (other !== undefined) paths = paths.flatMap((path) => [path + other, path + text]);
    }
    hash = fnv(fnvStart, paths[0] ?? '');
  }
  assert.deepEqual([...new Set(paths.map((path) => fnv(fnvStart, path)))], [hash]);
  // From wherever one begins, of which only the low seven bits matter to letters.
  for (let start = 0; start < 128; start++) {
    const hashes = new Set(
      paths.map((path) => [...path].reduce((h, char) => hashFurther(h, char.charCodeAt(0)), start)),
    );
    assert.ok(hashes.size > 1_000, `${hashes.size} of 1,024`);
  }
});

function entryOf(owner: number, key: string, rank: number): Entry {
  return { owner, key, keyAt: 0, keyEnd: 0, next: null, rank };
}

/** FNV-1a, as everybody knows it. */
const fnvStart = 0x811c9dc5 | 0;

function fnv(start: number, text: string): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

function listOf(known: ReadonlyMap<string, Entry>, owner: number, key: string): Entry[] {
  return [0, 1, 2, 3].flatMap((rank) => known.get(`${owner} ${key} ${rank}`) ?? []);
}
