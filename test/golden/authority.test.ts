import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAuthority } from '../../proxy/parse/authority.ts';

const label = 'a'.repeat(63);

/** What is sent; what backends see as Host and what routes are found by, or null. */
const names: [sent: string, seen: [text: string, hostname: string] | null][] = [
  ['shop.example', ['shop.example', 'shop.example']],
  ['a', ['a', 'a']],
  ['127.0.0.1', ['127.0.0.1', '127.0.0.1']],
  ['under_score.-dash-.example', ['under_score.-dash-.example', 'under_score.-dash-.example']],
  [`${label}.${label}`, [`${label}.${label}`, `${label}.${label}`]],
  ['Shop.EXAMPLE', ['shop.example', 'shop.example']],
  ['shop.example.', ['shop.example.', 'shop.example']],
  ['shop.example:8080', ['shop.example:8080', 'shop.example']],
  ['shop.example.:65535', ['shop.example.:65535', 'shop.example']],
  ['shop.example:', ['shop.example', 'shop.example']],
  ['[::1]:80', ['[::1]:80', '[::1]']],
  ['[::1]:', ['[::1]', '[::1]']],
  ['', null],
  ['.', null],
  ['.shop.example', null],
  ['shop..example', null],
  ['shop.example..', null],
  [`${label}a.example`, null],
  [`shop.${label}a`, null],
  [`${`${label}.`.repeat(4)}${label}`, null],
  ['shop.example:65536', null],
  ['shop.example:80:80', null],
  ['shop.example:8o', null],
  ['shop.example/', null],
  ['shop example', null],
  ['shop%2eexample', null],
  ['user@shop.example', null],
  ['shöp.example', null],
  ['[::1', null],
  ['[::g]', null],
];

describe('authorities', () => {
  for (const [sent, seen] of names) {
    test(`${sent.length > 40 ? `${sent.length} characters` : sent || 'none'}: ${seen?.[1].slice(0, 40) ?? 'refused'}`, () => {
      for (let time = 0; time < 2; time++) {
        const found = parseAuthority(sent);
        assert.deepEqual(found && [found.text, found.hostname], seen);
        // Another one in between, as other clients ask for other hosts.
        assert.equal(parseAuthority('other.example')?.text, 'other.example');
      }
    });
  }
});
