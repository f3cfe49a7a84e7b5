import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { rangeTest } from '../../proxy/match/ranges.ts';
import { SourceRanges } from '../../proxy/table/sources.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2_000);

// Few different bytes, so that addresses meet ranges.
const byte = fc.constantFrom(0, 1, 127, 128, 254, 255);
const four = fc.array(byte, { minLength: 4, maxLength: 4 }).map((bytes) => bytes.join('.'));
const six = fc
  .array(byte, { minLength: 16, maxLength: 16 })
  .map((bytes) => ipaddr.fromByteArray(bytes).toString())
  .filter((text) => !ipaddr.IPv6.parse(text).isIPv4MappedAddress());
const range = fc.oneof(
  four,
  six,
  fc.tuple(four, fc.nat(32)).map(([address, length]) => `${address}/${length}`),
  fc.tuple(six, fc.nat(128)).map(([address, length]) => `${address}/${length}`),
);

test('an address is in the ranges that ipaddr.js finds it in, however they overlap; every range that a row takes is read', () => {
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 12 }),
      fc.array(fc.oneof(four, six), { maxLength: 8 }),
      (ranges, asked) => {
        const { deny } = SourceRanges.parse({ deny: ranges, allow: null });
        const isIn = rangeTest(deny);
        for (const text of asked) {
          const address = ipaddr.parse(text);
          const expected = ranges.some((each) => {
            const [base, length] = ipaddr.parseCIDR(
              each.includes('/') ? each : `${each}/${each.includes(':') ? 128 : 32}`,
            );
            return base.kind() === address.kind() && address.match([base, length]);
          });
          assert.equal(isIn(text), expected, `${text} in ${ranges.join(' ')}`);
          if (address.kind() === 'ipv4') assert.equal(isIn(`::ffff:${text}`), expected);
        }
      },
    ),
    { numRuns, seed: 20261127 },
  );
});

test('a range that cannot be read is no row', () => {
  for (const bad of [
    '',
    '10.1',
    '010.0.0.1',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    'x',
    'fe80::1%eth0',
    '10.0.0.0/8/8',
  ]) {
    assert.equal(SourceRanges.safeParse({ deny: [bad], allow: null }).success, false, bad);
  }
});
