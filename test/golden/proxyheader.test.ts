import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { z } from 'zod';
import { buildProxyHeader } from '../../proxy/forward/proxyheader.ts';
import { crc32c } from '../../proxy/parse/crc32c.ts';
import { needsMore } from '../../proxy/parse/head.ts';
import { mostHeaderBytes, ProxyHeader, parseProxyHeader } from '../../proxy/parse/proxyheader.ts';

const Cases = z.array(
  z.strictObject({
    about: z.string(),
    line: z.string().optional(),
    binary: z.string().optional(),
    expect: z.string(),
  }),
);

const signature = '\r\n\r\n\0\r\nQUIT\n';
const file = join(import.meta.dirname, 'parse/proxyheader.yaml');

for (const { about, line, binary, expect } of Cases.parse(parse(readFileSync(file, 'utf8')))) {
  const bytes = line === undefined ? binaryOf(binary ?? '') : Buffer.from(line, 'latin1');

  test(`PROXY: ${about}`, () => {
    assert.equal(read(Buffer.concat([bytes, Buffer.from('data')]), bytes.length), expect);
  });

  if (expect === 'refused') continue;
  test(`PROXY: ${about}: cut anywhere, it needs the rest`, () => {
    for (let length = 0; length < bytes.length; length++) assert.equal(read(bytes.subarray(0, length), -1), 'more');
  });
}

test('a PROXY header never needs more than its bound, and never throws', () => {
  const beginnings = [
    signature,
    `${signature}\x21\x11`,
    `${signature}\x21\x11\0\x40`,
    'PROXY TCP4 ',
    'PROXY UNKNOWN ',
    '',
  ];
  const anyBytes = fc
    .tuple(fc.constantFrom(...beginnings), fc.uint8Array({ maxLength: 200 }))
    .map(([beginning, rest]) => Buffer.concat([Buffer.from(beginning, 'latin1'), rest]));
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const after = parseProxyHeader(new ProxyHeader(), bytes, 0, bytes.length);
      assert.ok(after <= bytes.length);
    }),
  );
  for (const beginning of beginnings.slice(0, 5)) {
    const long = Buffer.alloc(mostHeaderBytes, 0x20);
    long.write(beginning, 'latin1');
    assert.notEqual(parseProxyHeader(new ProxyHeader(), long, 0, long.length), needsMore);
  }
});

for (const [address, localAddress, expected] of [
  ['192.0.2.7', '198.51.100.1', '192.0.2.7 56324 > 198.51.100.1 443'],
  ['2001:db8::7', '2001:db8::1', '2001:db8::7 56324 > 2001:db8::1 443'],
  ['192.0.2.7', '2001:db8::1', '192.0.2.7 56324 > 2001:db8::1 443'],
  ['2001:db8::7', '198.51.100.1', '2001:db8::7 56324 > 198.51.100.1 443'],
  ['', '198.51.100.1', 'own'],
] as const) {
  for (const version of ['v1', 'v2'] as const) {
    test(`PROXY ${version}: from ${address || 'nobody'} to ${localAddress}, as it is sent, is read again`, () => {
      const origin = { address, localAddress, port: 56_324, localPort: 443, isTold: true, wasTls: false };
      const bytes = buildProxyHeader(version, origin);
      assert.equal(bytes.includes('QUIT'), version === 'v2');
      assert.equal(read(Buffer.concat([bytes, Buffer.from('data')]), bytes.length), expected);
    });
  }
}

test('CRC-32C of the bytes that every implementation is checked by', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283);
});

/** @param length of the header when it is one */
function read(bytes: Buffer, length: number): string {
  const header = new ProxyHeader();
  // Offsets count from the start of the range, not of the buffer.
  const shifted = Buffer.concat([Buffer.from('PROXY'), bytes]);
  const after = parseProxyHeader(header, shifted, 5, shifted.length);
  if (after < 0) return 'refused';
  if (after === needsMore) return 'more';
  assert.equal(after, 5 + length);
  if (!header.isProxied) return 'own';
  const { sourceAddress, sourcePort, destinationAddress, destinationPort, isTls } = header;
  return `${sourceAddress} ${sourcePort} > ${destinationAddress} ${destinationPort}${isTls ? ' tls' : ''}`;
}

function binaryOf(text: string): Buffer {
  const digits = text.replace(/[|\s]/g, '');
  const header = Buffer.concat([
    Buffer.from(signature, 'latin1'),
    Buffer.from(digits.replace('CRC', '00000000'), 'hex'),
  ]);
  if (digits.endsWith('CRC')) header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}
