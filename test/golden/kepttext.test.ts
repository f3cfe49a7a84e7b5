import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Exchange, giveExchange, takeExchange } from '../../proxy/forward/exchange.ts';
import type { ClientSide } from '../../proxy/forward/sides.ts';
import { FieldBlock } from '../../proxy/frame/fieldblock.ts';
import { Pieces } from '../../proxy/frame/pieces.ts';
import { clientAddressOf } from '../../proxy/listen/forwarded.ts';
import { Held } from '../../proxy/listen/held.ts';
import { spanOf } from '../../proxy/observe/span.ts';
import { type TraceContext, traceContextOf } from '../../proxy/observe/tracecontext.ts';
import { BodyReader } from '../../proxy/parse/bodyreader.ts';
import { bodyChunked } from '../../proxy/parse/framing.ts';
import { exchangeRecord } from '../kit/exchangerecord.ts';
import { collectGarbage } from '../kit/garbage.ts';

// V8 cuts a text without copying it: whoever keeps a part of a head keeps the head.

const headBytes = 32_000;
const heads = 500;

const tracing = {
  ...{ serviceName: 'edge', isOn: true, continues: true, ratio: 1, sampledBy: 'everybody' as const },
  ...{ queue: heads, batch: heads, delayMs: 1_000, endpoint: 'http://127.0.0.1:4318/v1/traces' },
};

/** What of a request is from its head, as parsers cut it. */
function partsOf(nth: number): { trace: TraceContext | null; clientAddress: string } {
  const fields = [`00-${`${nth}`.padStart(32, '1')}-b7ad6b7169203331-01`, `2001:db8::1:${nth.toString(16)}`];
  const head = Buffer.from(`${fields.join('\r\n')}\r\n${'x'.repeat(headBytes)}`, 'latin1').toString('latin1');
  const [traceparent = '', forwardedFor = ''] = head.split('\r\n');
  return {
    trace: traceContextOf(tracing, null, traceparent, true),
    clientAddress: clientAddressOf('10.0.0.1', forwardedFor, (address) => address === '10.0.0.1'),
  };
}

function assertKeepsLess(most: number, keep: (nth: number) => unknown): void {
  const used = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const kept = Array.from({ length: heads }, (_, nth) => keep(nth));
  const bytes = (used() - before) / kept.length;
  assert.ok(bytes < most, `${Math.round(bytes)} bytes each`);
}

test('a span that waits for its collector keeps nothing of the head that it tells of', () => {
  assertKeepsLess(headBytes / 2, (nth) => {
    const parts = partsOf(nth);
    return spanOf(exchangeRecord(parts), parts.trace as TraceContext);
  });
});

test('an exchange that waits for its next request keeps nothing of the head of the last one', () => {
  const client = { peer: { door: { isTls: false }, serverName: '', address: '10.0.0.1', scheme: 'http' } };
  const taken: Exchange[] = Array.from({ length: heads }, takeExchange);
  assertKeepsLess(headBytes / 2, (nth) => {
    const exchange = taken[nth] as Exchange;
    exchange.begin(client as ClientSide, 0);
    Object.assign(exchange, partsOf(nth));
    giveExchange(exchange);
    return exchange;
  });
});

test('a connection that waits for its next chunked body keeps nothing of the trailers of the last one, nor room for them', () => {
  const message = `1\r\nx\r\n0\r\nx: ${'y'.repeat(8_000)}\r\n\r\n`;
  assertKeepsLess(2_000, () => {
    const reader = new BodyReader();
    reader.begin(bodyChunked, 0);
    reader.feed(Buffer.from(message, 'latin1'), 0, message.length);
    assert.equal(reader.takeTrailers().get('x')?.length, 8_000);
    return reader;
  });
});

/** What takes memory of Buffer's pool beside, and gives it back at once. */
function others(): void {
  for (let bytes = 0; bytes < Buffer.poolSize; bytes += 8_192) Buffer.allocUnsafe(8_192);
}

test('what waits of a stream, and a field block, head or trailers whose end has not come, keep no memory of others', () => {
  const bytes = Buffer.alloc(5_000);
  assertKeepsLess(2 * bytes.length, () => {
    const pieces = new Pieces();
    pieces.add(bytes, 0, bytes.length);
    others();
    return pieces;
  });
  assertKeepsLess(2 * bytes.length, () => {
    const block = new FieldBlock();
    block.begin(1, false, false, bytes);
    others();
    return block;
  });
  assertKeepsLess(2 * bytes.length, () => {
    const block = new FieldBlock();
    block.begin(1, false, false, bytes.subarray(0, 2_000));
    block.add(bytes.subarray(2_000), 65_536);
    others();
    return block;
  });
  for (const pieces of [['x: '], ['x: ', 'y']]) {
    assertKeepsLess(2 * bytes.length, () => {
      const reader = new BodyReader();
      reader.begin(bodyChunked, 0);
      for (const piece of ['0\r\n', ...pieces]) reader.feed(Buffer.from(piece, 'latin1'), 0, piece.length);
      others();
      return reader;
    });
  }
  assertKeepsLess(2 * bytes.length, () => {
    const held = new Held().add(bytes, 0, 100);
    others();
    return held;
  });
});
