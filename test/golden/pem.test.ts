import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPemCutOff, pemBlocks } from '../../proxy/kit/pem.ts';

const block = (text: string, label = 'CERTIFICATE') => `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----`;

test('blocks of a label are found among others and beside what is none', () => {
  const text = `subject=a\n${block('a')}\n${block('b', 'X509 CRL')}${block('c')}\n-----BEGIN CERTIFICATE-----\nd`;
  assert.deepEqual(pemBlocks(text, 'CERTIFICATE'), [block('a'), block('c')]);
  assert.deepEqual(pemBlocks(text, 'X509 CRL'), [block('b', 'X509 CRL')]);
  assert.deepEqual(pemBlocks('', 'CERTIFICATE'), []);
});

test('a text that ends in the middle of a block is told from one that does not', () => {
  const isCutOff = (text: string) => isPemCutOff(text, 'CERTIFICATE');
  assert.equal(isCutOff(`${block('a')}${block('b')}\n`), false);
  assert.equal(isCutOff(`${block('a')}\n-----BEGIN CERTIFICATE-----\nb`), true);
  assert.equal(isCutOff(`${block('a')}\n-----BEGIN X509 CRL-----\nb`), false);
  assert.equal(isCutOff('none'), false);
});

// With a pattern that looks for each end anew this takes more than an hour.
test('beginnings without an end cost no more than their bytes', () => {
  assert.deepEqual(pemBlocks('-----BEGIN CERTIFICATE-----\n'.repeat(1_000_000), 'CERTIFICATE'), []);
});
