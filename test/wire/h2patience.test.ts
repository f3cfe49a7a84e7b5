import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes, plainWindowBytes } from '../../proxy/frame/codes.ts';
import type { Stream } from '../../proxy/frame/stream.ts';
import { frame } from '../kit/h2pair.ts';
import { get, headers, post, rig, said, word } from '../kit/h2rig.ts';

describe('floods end the connection with ENHANCE_YOUR_CALM', () => {
  const open = headers(1, post, frameFlags.endHeaders);
  const floods: Record<string, [before: Buffer[], unit: (i: number) => Buffer]> = {
    'rapid reset': [[], (i) => Buffer.concat([headers(2 * i + 1), frame(frameTypes.rstStream, 0, 2 * i + 1, word(8))])],
    'streams reset by breaking a rule': [
      [],
      (i) => Buffer.concat([headers(2 * i + 1), frame(frameTypes.windowUpdate, 0, 2 * i + 1, word(0))]),
    ],
    'malformed requests': [
      [],
      (i) =>
        headers(
          2 * i + 1,
          [...get, 'X: y'].map((line) => line.replace('X', 'te')),
        ),
    ],
    settings: [[], () => frame(frameTypes.settings, 0, 0)],
    ping: [[], () => frame(frameTypes.ping, 0, 0, '12345678')],
    priority: [[], () => frame(frameTypes.priority, 0, 9, Buffer.alloc(5))],
    'window update': [[], () => frame(frameTypes.windowUpdate, 0, 0, word(1))],
    'empty DATA': [[open], () => frame(frameTypes.data, 0, 1)],
    'padding only': [[open], () => frame(frameTypes.data, frameFlags.padded, 1, '\x02\0\0')],
    'unknown frames': [[], () => frame(99, 0, 0)],
    'refused streams': [Array.from({ length: 100 }, (_, i) => headers(2 * i + 1)), (i) => headers(2 * i + 201)],
  };
  for (const [name, [before, unit]] of Object.entries(floods)) {
    test(name, () => {
      const { server, send } = rig();
      send(...before);
      let units = 0;
      while (!server.session.isOver && units < 20_000) send(unit(units++));
      assert.match(said(server).at(-1) ?? '', /^goaway \d+ 11$/);
      assert.ok(units <= 4_000, `${units} were taken`);
    });
  }

  test('streams that are opened after our GOAWAY', () => {
    const { server, send } = rig();
    send(open);
    server.session.goAway();
    let streams = 0;
    while (!server.session.isOver && streams < 20_000) send(headers(2 * ++streams + 1));
    assert.deepEqual(said(server).at(-1), 'goaway 1 11');
    assert.ok(streams > 100 && streams <= 1_000, `${streams} were thrown away`);
  });

  test('requests whose fields are too many, though each is answered', () => {
    const { server, send } = rig();
    const tooMany = [...get, ...Array.from({ length: 101 }, () => 'x: y')];
    let requests = 0;
    while (!server.session.isOver && requests < 1_000) {
      const id = 2 * requests++ + 1;
      send(headers(id, tooMany));
      const stream = server.streams.get(id);
      if (stream !== undefined) server.session.respond(stream, 431, '', true);
    }
    assert.match(said(server).at(-1) ?? '', /^goaway \d+ 11$/);
    assert.ok(requests > 100 && requests <= 300, `${requests} were taken`);
  });

  test('but not some hundreds of streams too many at once, of a client that knows of no limit', () => {
    const { server, send } = rig();
    for (let i = 0; i < 500; i++) send(headers(2 * i + 1));
    assert.equal(server.session.isOver, false);
    assert.equal(server.streams.size, 100);
    assert.equal(said(server).filter((line) => line.startsWith('rstStream') && line.endsWith(' 7')).length, 400);
  });

  test('but not a ping and a window with each of many small messages, at one instant', () => {
    for (const isEcho of [true, false]) {
      const { server, send } = rig();
      send(open);
      const stream = server.streams.get(1) as Stream<string>;
      server.session.respond(stream, 200, '', false);
      for (let i = 0; i < 20_000; i++) {
        if (isEcho) server.session.data(stream, Buffer.alloc(10), 0, 10, false);
        else send(frame(frameTypes.data, 0, 1, '0123456789'));
        server.takeOutput();
        send(frame(frameTypes.windowUpdate, 0, 0, word(10)), frame(frameTypes.windowUpdate, 0, 1, word(10)));
        send(frame(frameTypes.ping, 0, 0, '12345678'));
        if (!isEcho) server.session.consumed(stream, 10);
      }
      assert.equal(server.session.isOver, false);
    }
  });

  test('but not what comes back for each of the many small frames that were sent of a stream that is over', () => {
    const { server, send } = rig();
    send(open);
    const stream = server.streams.get(1) as Stream<string>;
    server.session.respond(stream, 200, '', false);
    // A whole window of them, written before the turn ends.
    const frames = Math.floor(plainWindowBytes / 7);
    for (let i = 0; i < frames; i++) {
      server.session.data(stream, Buffer.alloc(7), 0, 7, false);
      server.session.output.release();
    }
    server.session.reset(stream, errorCodes.cancel);
    for (let i = 0; i < frames; i++) {
      send(
        frame(frameTypes.windowUpdate, 0, 0, word(7)),
        frame(frameTypes.rstStream, 0, 1, word(errorCodes.streamClosed)),
      );
    }
    assert.equal(server.session.isOver, false);
  });

  test('but not a hundred calls at a time whose deadline passes, for as long as that goes on', () => {
    const { server, send } = rig();
    for (let round = 0; round < 300; round++) {
      const ids = Array.from({ length: 100 }, (_, i) => 200 * round + 2 * i + 1);
      send(...ids.map((id) => headers(id)));
      server.nowMs += 100;
      send(...ids.map((id) => frame(frameTypes.rstStream, 0, id, word(8))));
      server.takeOutput();
    }
    assert.equal(server.session.isOver, false);
  });

  test('but not honest work: cancelled streams among answered ones, pings among data', () => {
    const { server, send } = rig();
    for (let i = 0; i < 5_000; i++) {
      const [answered, cancelled] = [4 * i + 1, 4 * i + 3];
      send(headers(answered), headers(cancelled), frame(frameTypes.rstStream, 0, cancelled, word(8)));
      const stream = server.streams.get(answered) as Stream<string>;
      server.session.respond(stream, 200, '', false);
      server.session.data(stream, Buffer.alloc(1_000), 0, 1_000, true);
      send(frame(frameTypes.windowUpdate, 0, 0, word(1_000)));
      send(frame(frameTypes.ping, 0, 0, '12345678'));
      server.nowMs += 1;
      server.takeOutput();
    }
    assert.equal(server.session.isOver, false);
  });
});
