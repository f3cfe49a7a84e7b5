import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Decoder } from '../../proxy/frame/decoder.ts';
import { Encoder } from '../../proxy/frame/encoder.ts';
import { fieldNameOf } from '../../proxy/frame/fieldname.ts';
import { decodeHuffman, encodeHuffman, huffmanLength } from '../../proxy/frame/huffman.ts';
import { FieldSection, mostAnswerBlockBytes, type SectionLimits, sectionKinds } from '../../proxy/frame/section.ts';

const plain: SectionLimits = { listBytes: 65_536, fields: 250 };
const section = new FieldSection();

function decode(decoder: Decoder, block: Buffer, kind: number, limits = plain): boolean {
  section.begin(kind, limits);
  const isSound = decoder.decode(block, 0, block.length, section);
  if (isSound) section.end();
  return isSound;
}

/** What RFC 7541 Appendix C says that its examples hold. */
function request(): string {
  const { method, scheme, path, authority, head } = section;
  return `${method} ${scheme} ${path} ${authority} ${head.text.trim()}`;
}

function fields(): string[] {
  const { head } = section;
  return Array.from({ length: head.count }, (_, field) => `${head.name(field)}: ${head.value(field)}`);
}

describe('decodes the examples of RFC 7541 Appendix C', () => {
  const plainBlocks = [
    '828684410f7777772e6578616d706c652e636f6d',
    '828684be58086e6f2d6361636865',
    '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
  ];
  const huffmanBlocks = [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
  ];
  const expected = [
    'GET http / www.example.com ',
    'GET http / www.example.com cache-control: no-cache',
    'GET https /index.html www.example.com custom-key: custom-value',
  ];
  for (const [name, blocks] of [
    ['C.3', plainBlocks],
    ['C.4', huffmanBlocks],
  ] as const) {
    test(name, () => {
      const decoder = new Decoder();
      blocks.forEach((block, i) => {
        assert.ok(decode(decoder, Buffer.from(block, 'hex'), sectionKinds.request));
        assert.equal(section.isMalformed, false);
        assert.equal(request(), expected[i]);
      });
    });
  }

  test('C.5, with a table of 256 bytes that evicts', () => {
    const decoder = new Decoder();
    const blocks = [
      '3fe1014803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
      '4803333037c1c0bf',
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
    ];
    const statuses = [302, 307, 200];
    blocks.forEach((block, i) => {
      assert.ok(decode(decoder, Buffer.from(block, 'hex'), sectionKinds.response));
      assert.equal(section.status, statuses[i]);
    });
    assert.deepEqual(fields(), [
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:22 GMT',
      'location: https://www.example.com',
      'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ]);
  });
});

describe('a broken block', () => {
  const broken: Record<string, string> = {
    'index 0': '80',
    'an index beyond the tables': 'be',
    'an integer without its end': 'ff',
    'an integer that overflows': 'ffffffffffff0f',
    'a string longer than the block': '4005616263',
    'padding of the Huffman code that is not ones': '4081f0',
    'padding of a whole byte': '4082fffe00',
    'EOS inside a string': '4084ffffffff00',
    'a table size above the setting': '3fe21f',
    'a table size after a field': '8220',
  };
  for (const [name, block] of Object.entries(broken)) {
    test(name, () => assert.equal(decode(new Decoder(), Buffer.from(block, 'hex'), sectionKinds.request), false));
  }
});

/** Fields as literals that enter no table, without Huffman. */
function literals(list: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => Buffer.concat([integer(value.length), Buffer.from(value, 'latin1')]);
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let left = value - 127;
  for (; left >= 128; left >>>= 7) bytes.push(0x80 | (left & 127));
  return Buffer.from([...bytes, left]);
}

const get = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a'],
] as const;

test('what is too much is not kept, and the table stays the same as the peer’s', () => {
  const decoder = new Decoder();
  const large = Buffer.concat([
    Buffer.from('400161', 'hex'),
    integer(3_000),
    Buffer.alloc(3_000, 'x'),
    Buffer.alloc(16_000, 0xbe),
  ]);
  assert.ok(decode(decoder, large, sectionKinds.request, { listBytes: 32_768, fields: 100 }));
  assert.equal(section.isTooLarge, true);
  assert.ok(decode(decoder, Buffer.concat([literals(get), Buffer.of(0xbe)]), sectionKinds.request));
  assert.deepEqual([section.isTooLarge, section.isMalformed, section.head.count], [false, false, 1]);
  const many = literals([...get, ...Array.from({ length: 101 }, () => ['x', 'y'] as const)]);
  assert.ok(decode(decoder, many, sectionKinds.request, { listBytes: 32_768, fields: 100 }));
  assert.equal(section.isTooLarge, true);
});

test('the longest block of a backend, of a name and of lines that the table holds, is too large and no more', () => {
  const decoder = new Decoder();
  for (const field of [[`:${'p'.repeat(2_699)}`, ''] as const, ['x', 'v'.repeat(1_330)] as const]) {
    const literal = literals([field]);
    literal[0] = 0x40;
    assert.ok(decode(decoder, literal, sectionKinds.response));
  }
  // As many lines as are taken at all, and behind them a value that has five bits to the byte.
  const lines = Buffer.alloc(48, 0xbe);
  const coded = Buffer.alloc(147_400);
  const length = integer(coded.length);
  length[0] = 0xff;
  const block = Buffer.concat([lines, Buffer.of(0x7f, 0), length, coded]);
  assert.ok(block.length <= mostAnswerBlockBytes);
  assert.ok(decode(decoder, block, sectionKinds.response));
  assert.equal(section.isTooLarge, true);
});

test('names are kept for the next that sends them, but for long ones, whose bytes would be', () => {
  assert.equal(fieldNameOf('X-Short'), fieldNameOf('X-Short'));
  const long = fieldNameOf(`X-${'Y'.repeat(30_000)}`);
  assert.equal(long.lower, `x-${'y'.repeat(30_000)}`);
  assert.notEqual(fieldNameOf(`X-${'Y'.repeat(30_000)}`), long);
});

test('crumbs of a cookie become one field, and a head reads as one of HTTP/1.1', () => {
  const block = literals([...get, ['cookie', 'a=1'], ['x', 'y'], ['cookie', 'b=2'], ['cookie', 'c=3']]);
  assert.ok(decode(new Decoder(), block, sectionKinds.request));
  assert.equal(section.head.text, 'x: y\r\ncookie: a=1; b=2; c=3\r\n\r\n');
  assert.deepEqual([section.head.isCanonical(0), section.head.isCanonical(1)], [true, true]);
});

describe('malformed sections', () => {
  const without = (name: string) => get.filter(([each]) => each !== name);
  const bad: Record<string, readonly (readonly [string, string])[]> = {
    'no method': without(':method'),
    'no scheme': without(':scheme'),
    'no path': without(':path'),
    'an empty path': [...without(':path'), [':path', '']],
    'a path twice': [...get, [':path', '/']],
    'a path that is a URL': [...without(':path'), [':path', 'http://a/']],
    'an asterisk without OPTIONS': [...without(':path'), [':path', '*']],
    'a scheme that is none': [...without(':scheme'), [':scheme', 'gopher']],
    'a pseudo-header field after a field': [...without(':path'), ['x', 'y'], [':path', '/']],
    'a pseudo-header field after a cookie': [...without(':path'), ['cookie', 'y'], [':path', '/']],
    'a pseudo-header field after an empty cookie': [...without(':path'), ['cookie', ''], [':path', '/']],
    'an unknown pseudo-header field': [...get, [':x', 'y']],
    'a status in a request': [...get, [':status', '200']],
    'a protocol without CONNECT': [...get, [':protocol', 'websocket']],
    'upper case': [...get, ['X', 'y']],
    'a name with a space': [...get, ['x ', 'y']],
    'a name without a letter': [...get, ['', 'y']],
    'a value with LF': [...get, ['x', 'a\nb']],
    'a value with NUL': [...get, ['x', 'a\0b']],
    'a value that begins with a space': [...get, ['x', ' b']],
    'a value that ends with a tab': [...get, ['x', 'b\t']],
    connection: [...get, ['connection', 'close']],
    'transfer-encoding': [...get, ['transfer-encoding', 'chunked']],
    'te that is not trailers': [...get, ['te', 'gzip']],
    'two lengths': [...get, ['content-length', '1'], ['content-length', '1']],
    'a length that is none': [...get, ['content-length', '1, 1']],
  };
  for (const [name, list] of Object.entries(bad)) {
    test(name, () => {
      assert.ok(decode(new Decoder(), literals(list), sectionKinds.request));
      assert.equal(section.isMalformed, true);
    });
  }

  test('but these are not', () => {
    const good = [
      [...get, ['te', 'trailers'], ['x_y', 'z'], ['empty', ''], ['constructor', '\xff']],
      [...without(':path'), [':path', '*']].map(([name, value]) => [name, name === ':method' ? 'OPTIONS' : value]),
      [[':method', 'CONNECT'], [':protocol', 'websocket'], ...without(':method')],
    ] as [string, string][][];
    for (const list of good) {
      assert.ok(decode(new Decoder(), literals(list), sectionKinds.request));
      assert.equal(section.isMalformed, false, JSON.stringify(list));
    }
  });
});

test('Huffman: every byte, every length', () => {
  const target = Buffer.alloc(4_096);
  const back = Buffer.alloc(4_096);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      const end = encodeHuffman(text, target, 0);
      assert.equal(end, huffmanLength(text));
      assert.equal(back.toString('latin1', 0, decodeHuffman(target, 0, end, back, 0)), text);
    }),
  );
});

const name = fc.constantFrom('Content-Type', 'date', 'X-A', 'x-b', 'ETag', 'set-cookie', 'authorization', 'server');
const value = fc.oneof(
  fc.constantFrom('text/html', 'a', 'x'.repeat(200)),
  fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom('a', '~', '\xe9', '0', '"') }),
);

test('what is encoded is decoded to the same, whatever the size of the table', () => {
  const target = Buffer.alloc(65_536);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(fc.tuple(name, value), { maxLength: 12 }), fc.option(fc.nat({ max: 5_000 }))), {
        maxLength: 30,
      }),
      (blocks) => {
        const encoder = new Encoder();
        const decoder = new Decoder();
        for (const [list, size] of blocks) {
          if (size !== null) {
            encoder.resize(size >>> 3);
            encoder.resize(size);
          }
          const lines = list.map(([each, text]) => `${each}: ${text}\r\n`).join('');
          const end = encoder.lines(target, encoder.status(target, encoder.begin(target, 0), 200), lines);
          assert.ok(decode(decoder, target.subarray(0, end), sectionKinds.response));
          assert.equal(section.status, 200);
          assert.deepEqual(
            fields(),
            list.map(([each, text]) => `${each.toLowerCase()}: ${text}`),
          );
        }
      },
    ),
  );
});

test('secrets are never indexed, and fields of a connection never sent', () => {
  const target = Buffer.alloc(1_024);
  const encoder = new Encoder();
  for (let i = 0; i < 3; i++) {
    const end = encoder.lines(target, 0, 'Set-Cookie: a=b\r\nConnection: close\r\n');
    // Never indexed, by the name at index 55 of the static table.
    assert.equal(target.subarray(0, end).toString('hex'), '1f2803613d62');
  }
});

test('arbitrary bytes neither throw nor exceed limits', () => {
  const decoder = new Decoder();
  const limits = { listBytes: 2_000, fields: 20 };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 2 }), (bytes, kind) => {
      decode(decoder, Buffer.from(bytes), kind, limits);
      assert.ok(section.at <= limits.listBytes && section.head.count <= limits.fields);
    }),
    { numRuns: 2_000 },
  );
});
