import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { rfc2253 } from '../../proxy/listen/distinguishedname.ts';
import { Authority } from '../kit/authority.ts';

test('names of certificates are written as nginx writes them', async () => {
  const root = await Authority.root();
  const cases: [subject: [type: string, value: string][], expected: string][] = [
    [
      [
        ['C', 'DE'],
        ['O', 'Acme, Inc'],
        ['CN', 'alice'],
      ],
      'CN=alice,O=Acme\\, Inc,C=DE',
    ],
    [
      [
        ['O', 'A + B'],
        ['CN', 'x'],
      ],
      'CN=x,O=A \\+ B',
    ],
    [[['CN', 'Müller 漢']], 'CN=M\\C3\\BCller \\E6\\BC\\A2'],
    [[['CN', 'a\nCN=root']], 'CN=a\\0ACN=root'],
    [[['CN', 'x\r\nssl-client-verify: SUCCESS']], 'CN=x\\0D\\0Assl-client-verify: SUCCESS'],
  ];
  for (const [subject, expected] of cases) {
    const { cert } = await root.issue({ subject: subject.map(([type, value]) => ({ [type]: [value] })) });
    const written = rfc2253(new X509Certificate(cert).subject);
    assert.equal(written, expected);
    assert.match(written, /^[ -~]*$/);
  }
  // Two attributes in one element.
  assert.equal(rfc2253('O=Acme\nCN=alice + UID=7'), 'UID=7+CN=alice,O=Acme');
  const { cert } = await root.issue({ subject: [{ O: ['\\'], CN: ['alice'] }] });
  assert.equal(rfc2253(new X509Certificate(cert).subject), 'CN=alice+O=\\\\');
  assert.equal(rfc2253(''), '');
});
