import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAuthority } from '../../proxy/parse/authority.ts';

test('names that clients repeat are read once, also where two of them have the same place', () => {
  const names = Array.from({ length: 250 }, (_, i) => `shop-${i}.example`);
  const first = names.map((name) => parseAuthority(name));
  const again = names.map((name) => parseAuthority(name));
  assert.deepEqual(
    names.filter((_, i) => again[i] !== first[i]),
    [],
  );
});
