import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { canonicalAddress, parseAddress, parseRange, textOf, without } from '../../controller/addresses/ranges.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 3_000);
const nearly = fc
  .array(fc.constantFrom('0', '1', '9', '10', '255', '256', '01', '.', '.', '.', ':', '::', 'f', 'fe80', '%', ' '), {
    maxLength: 9,
  })
  .map((parts) => parts.join(''));

test('an address is what ipaddr.js takes for one in its usual form, and its text leads back to it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), nearly), (text) => {
      const trimmed = text.trim();
      const isFour = ipaddr.IPv4.isValidFourPartDecimal(trimmed);
      const isSix = ipaddr.IPv6.isValid(trimmed) && !trimmed.includes('%');
      const isMapped = isSix && ipaddr.IPv6.parse(trimmed).isIPv4MappedAddress();
      const canonical = canonicalAddress(text);
      assert.equal(canonical !== undefined, isFour || (isSix && !isMapped), text);
      if (canonical === undefined) return;
      assert.deepEqual(ipaddr.parse(canonical).toByteArray(), ipaddr.parse(trimmed).toByteArray());
      const parsed = parseAddress(text);
      assert(parsed);
      assert.equal(textOf(parsed), canonical);
      assert.equal(canonicalAddress(canonical), canonical);
    }),
    { numRuns, seed: 20261126 },
  );
});

test('what is left of a range without others has each of its other addresses once', () => {
  const range = fc.tuple(fc.nat(30), fc.nat(30)).map(([a, b]) => {
    const found = parseRange(`192.0.2.${Math.min(a, b)}-192.0.2.${Math.max(a, b)}`);
    assert(!('fault' in found));
    return found;
  });
  fc.assert(
    fc.property(range, fc.array(range, { maxLength: 4 }), (whole, others) => {
      const left = without(whole, others).flatMap(({ first, last }) => valuesOf(first, last));
      const expected = valuesOf(whole.first, whole.last).filter((value) => {
        return !others.some(({ first, last }) => first <= value && value <= last);
      });
      assert.deepEqual(left, expected);
    }),
    { numRuns, seed: 20261126 },
  );
});

function valuesOf(first: bigint, last: bigint): bigint[] {
  const values: bigint[] = [];
  for (let value = first; value <= last; value++) values.push(value);
  return values;
}
