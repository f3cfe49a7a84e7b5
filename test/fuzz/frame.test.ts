import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { preface } from '../../proxy/frame/codes.ts';
import { frame, SessionEnd, sessionLimits } from '../kit/h2pair.ts';

/** More runs for those who have time: FUZZ_RUNS=100000 node --test test/fuzz/frame.test.ts. */
const runs = Number(process.env['FUZZ_RUNS'] ?? 1_000);
const seed = Number(process.env['FUZZ_SEED'] ?? 20261126);

/** Field blocks of requests, whole and broken. */
const block = fc
  .oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom('828684', '838684', '828684be', '82868440016101620f0d0135', 'be', '3fe11f'),
    },
    {
      weight: 1,
      arbitrary: fc.string({ unit: fc.constantFrom('82', '84', '86', 'be', '40', '0f', '3f', 'ff'), maxLength: 12 }),
    },
  )
  .map((hex) => Buffer.from(hex, 'hex'));

const payload = fc.oneof(
  block,
  fc.constantFrom(4, 5, 6, 8, 0, 1, 16_384).map((length) => Buffer.alloc(length, 1)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);

const frames = fc
  .tuple(fc.nat({ max: 10 }), fc.constantFrom(0, 1, 4, 5, 8, 9, 0x20, 0x25, 0x2d), fc.nat({ max: 9 }), payload)
  .map(([type, flags, streamId, bytes]) => frame(type, flags, streamId, bytes));

const requests = fc
  .tuple(fc.nat({ max: 20 }), fc.constantFrom(4, 5), block)
  .map(([n, flags, bytes]) => frame(1, flags, 2 * n + 1, bytes));

const connection = fc.array(fc.oneof(frames, requests), { maxLength: 40 });

/** What the owner does between two reads. */
const acts = fc.array(fc.nat({ max: 4 }), { maxLength: 40 });

test('no sequence of frames throws, or makes a server keep more than it said', () => {
  fc.assert(
    fc.property(connection, acts, fc.integer({ min: 1, max: 5_000 }), (list, doings, step) => {
      const server = new SessionEnd('server');
      server.isReading = doings.length % 2 === 0;
      const bytes = Buffer.concat([preface, frame(4, 0, 0), ...list]);
      for (let at = 0, turn = 0; at < bytes.length; at += step, turn++) {
        server.receive(bytes.subarray(at, at + step));
        act(server, doings[turn] ?? 0);
        assert.ok(server.session.streams.size <= sessionLimits.streams);
        assert.ok(server.takeOutput().length < 300_000);
      }
      const unconsumed = [...server.session.streams.values()].reduce((sum, each) => sum + each.unconsumed, 0);
      assert.ok(unconsumed <= sessionLimits.connectionWindowBytes);
      assert.equal(
        server.session.isOver,
        server.events.some((event) => event.startsWith('failed')),
      );
    }),
    { numRuns: runs, seed },
  );
});

test('no sequence of frames throws in a client', () => {
  fc.assert(
    fc.property(connection, acts, (list, doings) => {
      const client = new SessionEnd('client');
      client.receive(frame(4, 0, 0));
      for (let i = 0; i < 3; i++) client.session.request(client.session.open(''), [':method: GET'], '', i > 0);
      list.forEach((each, turn) => {
        client.receive(each);
        act(client, doings[turn] ?? 0);
      });
      assert.ok(client.session.streams.size <= 3);
    }),
    { numRuns: runs, seed },
  );
});

function act(end: SessionEnd, doing: number): void {
  const stream = [...end.session.streams.values()].at(-1);
  if (stream === undefined || end.session.isOver) return;
  if (doing === 1) end.session.reset(stream, 8);
  if (doing === 2 && end.session.isServer) end.session.respond(stream, 200, 'Server: a\r\n', false);
  if (doing >= 2) end.session.data(stream, body, 0, body.length, doing === 4);
}

const body = Buffer.alloc(20_000);
