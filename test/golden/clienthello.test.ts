import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { z } from 'zod';
import { ClientHello, mostHelloBytes, parseClientHello } from '../../proxy/parse/clienthello.ts';
import { badSyntax, needsMore } from '../../proxy/parse/head.ts';

const Clients = z.array(z.strictObject({ client: z.string(), serverName: z.string(), bytes: z.string() }));
const file = join(import.meta.dirname, 'parse/clienthello.yaml');
const clients = Clients.parse(parse(readFileSync(file, 'utf8'))).map(({ bytes, ...client }) => ({
  ...client,
  bytes: Buffer.from(bytes.replace(/\s/g, ''), 'hex'),
}));
const plain = clients.find(({ client }) => client === 'openssl')?.bytes ?? Buffer.alloc(0);

for (const { client, serverName, bytes } of clients) {
  test(`ClientHello of ${client}: its server name, whole or in pieces`, () => {
    assert.deepEqual(read(bytes), { after: bytes.length, serverName });
    for (let length = 0; length < bytes.length; length++) {
      const hello = new ClientHello();
      assert.equal(parseClientHello(hello, bytes, 0, length), needsMore, `${length} bytes`);
      assert.ok(hello.wantedBytes > length && hello.wantedBytes <= bytes.length);
    }
    for (const pieceBytes of [1_000, 300, 100]) {
      const cut = inRecords(messageOf(bytes), pieceBytes);
      assert.deepEqual(read(cut), { after: cut.length, serverName }, `records of ${pieceBytes} bytes`);
    }
  });
}

test('no cut, flipped or random ClientHello is read beyond its end', () => {
  fc.assert(
    fc.property(fc.constantFrom(...clients), fc.nat(), fc.nat({ max: 255 }), ({ bytes }, place, value) => {
      const changed = Buffer.from(bytes);
      changed[place % changed.length] = value;
      const { after } = read(changed);
      assert.ok(after === badSyntax || after === needsMore || after === changed.length);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (rest) => {
      const bytes = Buffer.concat([Buffer.from([22, 3, 1]), rest]);
      assert.ok(read(bytes).after <= bytes.length);
    }),
  );
});

const refused: Record<string, () => Buffer> = {
  'another content type': () => patch(plain, 0, 23),
  'another major version': () => patch(plain, 1, 2),
  'an empty record': () => Buffer.concat([Buffer.from([22, 3, 1, 0, 0]), plain]),
  'a record longer than records may be': () => patch(plain, 3, 0x40, 0x01),
  'another message': () => patch(plain, 5, 2),
  'a message longer than the bound': () => patch(plain, 6, 0, 0x40, 0x01),
  'another message behind it in the same record': () =>
    inRecords(Buffer.concat([messageOf(plain), Buffer.from([1])]), 999),
  'more records than anybody needs': () => inRecords(messageOf(plain), 5),
  'a length that leads out of the message': () => patch(plain, 5 + 4 + 34, 255),
  'two server names': () =>
    withName(plain, [
      [0, 'a.test'],
      [0, 'b.test'],
    ]),
  'a name of another type': () => withName(plain, [[1, 'a.test']]),
  'the extension twice': () =>
    withExtensions(plain, [...nameExtension([[0, 'a.test']]), ...nameExtension([[0, 'b.test']])]),
  'no name in the list': () => withName(plain, []),
  'an empty name': () => withName(plain, [[0, '']]),
  'two dots at the end': () => withName(plain, [[0, 'a.test..']]),
  'nothing but a dot': () => withName(plain, [[0, '.']]),
  'a NUL in the name': () => withName(plain, [[0, 'a.test\0.evil.test']]),
  'bytes above ASCII': () => withName(plain, [[0, 'ä.test']]),
  'a label that is too long': () => withName(plain, [[0, `${'a'.repeat(64)}.test`]]),
  'a name that is too long': () => withName(plain, [[0, `${'a.'.repeat(127)}test`]]),
  HTTP: () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  'nothing that is known': () => Buffer.from('\0'),
};

for (const [what, bytes] of Object.entries(refused)) {
  test(`no ClientHello to rely on: ${what}`, () => assert.equal(read(bytes()).after, badSyntax));
}

test('a ClientHello never needs more than its bound', () => {
  const longest = inRecords(Buffer.concat([Buffer.from([1, 0, 0x40, 0]), Buffer.alloc(16_384)]), 520);
  assert.ok(longest.length <= mostHelloBytes);
  assert.equal(read(longest.subarray(0, -1)).after, needsMore);
});

test('names are found by lower case, and without a dot at the end', () => {
  for (const sent of ['Shop.EXAMPLE.com', 'shop.example.com.']) {
    assert.equal(read(withName(plain, [[0, sent]])).serverName, 'shop.example.com');
  }
});

function read(bytes: Buffer): { after: number; serverName: string } {
  const hello = new ClientHello();
  const shifted = Buffer.concat([Buffer.alloc(3), bytes]);
  const after = parseClientHello(hello, shifted, 3, shifted.length);
  return { after: after > 0 ? after - 3 : after, serverName: hello.serverName };
}

function patch(bytes: Buffer, at: number, ...values: number[]): Buffer {
  const changed = Buffer.from(bytes);
  changed.set(values, at);
  return changed;
}

/** The handshake message inside the one record that clients send it in. */
function messageOf(bytes: Buffer): Buffer {
  return bytes.subarray(5);
}

function inRecords(message: Buffer, pieceBytes: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += pieceBytes) {
    const piece = message.subarray(at, at + pieceBytes);
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece);
  }
  return Buffer.concat(records);
}

type Name = readonly [type: number, name: string];

function withName(bytes: Buffer, names: readonly Name[]): Buffer {
  return withExtensions(bytes, nameExtension(names));
}

function nameExtension(names: readonly Name[]): number[] {
  const list = names.flatMap(([type, name]) => [type, ...sized(Buffer.from(name, 'latin1'))]);
  return [0, 0, ...sized(sized(list))];
}

/** The same message with other extensions. */
function withExtensions(bytes: Buffer, extensions: readonly number[]): Buffer {
  const body = messageOf(bytes).subarray(4);
  let at = 34;
  at += 1 + (body[at] ?? 0);
  at += 2 + body.readUInt16BE(at);
  at += 1 + (body[at] ?? 0);
  const changed = Buffer.from([...body.subarray(0, at), ...sized(extensions)]);
  return inRecords(Buffer.concat([Buffer.from([1, 0, changed.length >> 8, changed.length & 255]), changed]), 16_000);
}

function sized(bytes: ArrayLike<number> & Iterable<number>): number[] {
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
}
