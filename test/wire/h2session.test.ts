import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes, preface } from '../../proxy/frame/codes.ts';
import type { Stream } from '../../proxy/frame/stream.ts';
import { frame, readFrames, SessionEnd, sessionLimits, settle } from '../kit/h2pair.ts';
import { block, bothEnds, get, headers, post, rig, said, word } from '../kit/h2rig.ts';

/** Two ends that have exchanged their SETTINGS. */
function pair(limits = {}): { client: SessionEnd; server: SessionEnd } {
  const client = new SessionEnd('client', limits);
  const server = new SessionEnd('server', limits);
  settle(client, server);
  client.takeEvents();
  server.takeEvents();
  return { client, server };
}

/** A field of 3,000 bytes for the table, which 0xbe names from then on. */
const entry = Buffer.from(`\x40\x01x\x7f\xb9\x16${'y'.repeat(3_000)}`, 'latin1');

describe('two ends', () => {
  test('exchange a request and an answer with bodies, trailers and an interim head', () => {
    const { client, server } = pair();
    server.onHeaders = (stream, isEnd) => {
      assert.equal(isEnd, false);
      server.session.respond(stream, 103, 'Link: </a>\r\n', false);
      server.session.respond(stream, 200, 'Content-Type: text/plain\r\n', false);
      const body = Buffer.from('answer');
      server.session.data(stream, body, 0, body.length, false);
      server.session.trailers(stream, 'X-Sum: 1\r\n');
    };
    const stream = client.session.open('mine');
    assert.equal(stream.peer, 'mine');
    client.session.request(stream, post, 'Content-Length: 5\r\n', false);
    client.session.data(stream, Buffer.from('hello'), 0, 5, true);
    settle(client, server);
    assert.deepEqual(server.takeEvents(), ['1 headers POST /', '1 end', '1 finished']);
    assert.deepEqual(client.takeEvents(), ['1 headers 103', '1 headers 200', '1 trailers x-sum: 1', '1 finished']);
    assert.deepEqual([server.bodies.get(1), client.bodies.get(1)], ['hello', 'answer']);
    assert.equal(client.session.streams.size + server.session.streams.size, 0);
  });

  test('move a body larger than any window, in order, and grow the windows of a reader that keeps up', () => {
    const { client, server } = pair();
    const body = Buffer.alloc(3_000_000);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32BE(i, i);
    const stream = client.session.open('');
    client.session.request(stream, post, '', false);
    client.session.data(stream, body, 0, body.length, true);
    assert.ok(stream.isFull);
    let mostWindow = 0;
    server.onHeaders = (opened) => {
      server.streams.set(0, opened);
    };
    for (let turn = 0; turn < 10_000 && !server.events.includes('1 end'); turn++) {
      server.receive(client.takeOutput());
      mostWindow = Math.max(mostWindow, server.streams.get(0)?.windowBytes ?? 0);
      client.receive(server.takeOutput());
    }
    assert.ok(server.bodies.get(1) === body.toString('latin1'));
    assert.equal(mostWindow, sessionLimits.mostStreamWindowBytes);
  });

  test('a stream whose reader rests does not hold up others', () => {
    const { client, server } = pair();
    server.isReading = false;
    const [stuck, free] = [client.session.open(''), client.session.open('')];
    for (const stream of [stuck, free]) client.session.request(stream, post, '', false);
    const body = Buffer.alloc(200_000, 'a');
    client.session.data(stuck, body, 0, body.length, true);
    settle(client, server);
    assert.equal(server.bodies.get(1)?.length, 65_535);
    server.isReading = true;
    client.session.data(free, body, 0, body.length, true);
    settle(client, server);
    assert.equal(server.bodies.get(3)?.length, body.length);
    assert.equal(server.bodies.get(1)?.length, 65_535);
    const held = server.streams.get(1) as Stream<string>;
    server.session.consumed(held, 65_535);
    settle(client, server);
    assert.equal(server.bodies.get(1)?.length, body.length);
    assert.ok(client.takeEvents().length === 0 && stuck.isLocalClosed);
  });

  test('streams whose readers come to rest after they were fast hold up no other', () => {
    const { client, server } = pair();
    const body = Buffer.alloc(4_000_000, 'a');
    const open = (): Stream<string> => {
      const stream = client.session.open('');
      client.session.request(stream, post, '', false);
      return stream;
    };
    const stuck = Array.from({ length: 14 }, open);
    for (const stream of stuck) client.session.data(stream, body, 0, 1_500_000, false);
    settle(client, server);
    server.isReading = false;
    for (const stream of stuck) client.session.data(stream, body, 0, body.length, true);
    settle(client, server);
    server.isReading = true;
    const free = open();
    client.session.data(free, body, 0, body.length, true);
    settle(client, server);
    assert.equal(server.bodies.get(free.id)?.length, body.length);
    // All that was granted comes back: streams that begin later grow as the first did.
    for (const stream of [...server.session.streams.values()]) server.session.reset(stream, errorCodes.cancel);
    settle(client, server);
    const late = open();
    let mostWindow = 0;
    server.onHeaders = (opened) => server.streams.set(0, opened);
    client.session.data(late, body, 0, body.length, true);
    for (let turn = 0; turn < 10_000 && !server.events.includes(`${late.id} end`); turn++) {
      server.receive(client.takeOutput());
      mostWindow = Math.max(mostWindow, server.streams.get(0)?.windowBytes ?? 0);
      client.receive(server.takeOutput());
    }
    assert.equal(mostWindow, sessionLimits.mostStreamWindowBytes);
  });

  test('take turns, a frame of each stream at a time', () => {
    const { client, server } = pair();
    const streams = [0, 1, 2].map(() => client.session.open(''));
    for (const stream of streams) client.session.request(stream, post, '', false);
    const body = Buffer.alloc(60_000, 'a');
    for (const stream of streams) client.session.data(stream, body, 0, body.length, true);
    const order = [];
    for (;;) {
      const bytes = client.takeOutput();
      if (bytes.length === 0) break;
      order.push(...readFrames(bytes).filter(({ type }) => type === frameTypes.data));
      server.receive(bytes);
      client.receive(server.takeOutput());
    }
    // The first and a frame of the second have filled the window; the others share what comes after.
    const later = order.map(({ streamId }) => streamId).slice(5);
    assert.deepEqual(later, [3, 5, 3, 5, 3, 5, 5]);
    assert.deepEqual(client.takeEvents(), []);
    assert.deepEqual(
      [1, 3, 5].map((id) => server.bodies.get(id)?.length),
      [60_000, 60_000, 60_000],
    );
  });

  test('a head longer than a frame goes on in CONTINUATION', () => {
    const { client, server } = pair();
    const stream = client.session.open('');
    client.session.request(stream, get, `X-Long: ${'\xff'.repeat(30_000)}\r\n`, true);
    settle(client, server);
    assert.deepEqual(server.takeEvents(), ['1 headers GET / end']);
    const tooLong = client.session.open('');
    client.session.request(tooLong, get, `X-Long: ${'\xff'.repeat(40_000)}\r\n`, true);
    settle(client, server);
    assert.deepEqual(server.takeEvents(), ['3 headers too large end']);
  });

  test('say goodbye in two steps, and take what crossed the first', () => {
    const { client, server } = pair();
    server.session.shutDown();
    const crossing = client.session.open('');
    client.session.request(crossing, get, '', true);
    settle(client, server);
    assert.deepEqual(client.takeEvents(), ['going away 2147483647 0', 'going away 1 0']);
    assert.deepEqual([client.session.hasRoom, server.session.isDrained], [false, false]);
    server.session.respond(server.streams.get(1) as Stream<string>, 204, '', true);
    settle(client, server);
    assert.ok(server.session.isDrained);
    const late = client.session.open('');
    client.session.request(late, get, '', true);
    settle(client, server);
    assert.deepEqual(server.takeEvents(), ['1 headers GET / end', '1 finished']);
    client.takeEvents();
    server.session.fail(errorCodes.protocolError);
    client.receive(server.takeOutput());
    assert.deepEqual(client.takeEvents(), ['going away 1 1'], 'not above what was said before');
  });

  test('a length that body bytes do not keep is an error of the stream', () => {
    const { client, server } = pair();
    for (const sent of ['hell', 'hello!']) {
      const stream = client.session.open('');
      client.session.request(stream, post, 'Content-Length: 5\r\n', false);
      client.session.data(stream, Buffer.from(sent), 0, sent.length, true);
      settle(client, server);
      assert.deepEqual(server.takeEvents().slice(1), [`${stream.id} reset 1`]);
      assert.deepEqual(client.takeEvents(), [`${stream.id} reset 1`]);
    }
  });

  test('what a closed connection leaves open is reset', () => {
    const { client } = pair();
    client.session.request(client.session.open(''), get, '', true);
    client.session.close(errorCodes.cancel);
    assert.deepEqual(client.takeEvents(), ['1 reset 8']);
  });
});

describe('a server', () => {
  test('reads frames that come byte by byte', () => {
    const server = new SessionEnd('server');
    const bytes = Buffer.concat([
      preface,
      frame(frameTypes.settings, 0, 0),
      headers(1, post, frameFlags.endHeaders),
      frame(frameTypes.data, frameFlags.padded | frameFlags.endStream, 1, '\x03hello\0\0\0'),
      frame(frameTypes.ping, 0, 0, '12345678'),
    ]);
    for (const byte of bytes) server.receive(Buffer.of(byte));
    assert.deepEqual(server.events, ['settled', '1 headers POST /', '1 end']);
    assert.equal(server.bodies.get(1), 'hello');
    assert.deepEqual(said(server), ['settings 0', 'windowUpdate 0', 'settings 0', 'ping 0']);
  });

  const streamErrors: Record<string, [frames: Buffer[], code: number]> = {
    'a WINDOW_UPDATE of nothing': [[frame(frameTypes.windowUpdate, 0, 1, word(0))], 1],
    'a window that overflows': [[frame(frameTypes.windowUpdate, 0, 1, word(0x7fffffff))], 3],
    'HEADERS that end nothing': [[headers(1, ['x: y'], frameFlags.endHeaders)], 1],
    'trailers with a pseudo-header field': [[headers(1, get)], 1],
    'PRIORITY on itself': [[frame(frameTypes.priority, 0, 1, Buffer.concat([word(1), Buffer.of(0)]))], 1],
    'PRIORITY that is too short': [[frame(frameTypes.priority, 0, 1, word(0))], 6],
    'more than the window': [
      Array.from({ length: 5 }, () => frame(frameTypes.data, 0, 1, Buffer.alloc(16_384))),
      errorCodes.flowControlError,
    ],
  };
  for (const [name, [frames, code]] of Object.entries(streamErrors)) {
    test(`ends a stream for ${name}`, () => {
      const { server, send } = rig();
      server.isReading = false;
      send(headers(1, post, frameFlags.endHeaders));
      assert.deepEqual(send(...frames), [`1 reset ${code}`]);
      assert.deepEqual(said(server), [`rstStream 1 ${code}`]);
      assert.deepEqual(send(headers(3)), ['3 headers GET / end']);
    });
  }

  const connectionErrors: Record<string, [frames: Buffer[], code: number]> = {
    'DATA on an idle stream': [[frame(frameTypes.data, 0, 1, 'a')], 1],
    'RST_STREAM on an idle stream': [[frame(frameTypes.rstStream, 0, 1, word(8))], 1],
    'a stream of even number': [[headers(2)], 1],
    'a stream that was skipped': [[headers(5), headers(3)], 1],
    'DATA on a connection': [[frame(frameTypes.data, 0, 0, 'a')], 1],
    PUSH_PROMISE: [[frame(frameTypes.pushPromise, 4, 1, word(2))], 1],
    'CONTINUATION of nothing': [[frame(frameTypes.continuation, 4, 1)], 1],
    'a block that another frame interrupts': [
      [headers(1, get, 0), frame(frameTypes.ping, 0, 0, '12345678')],
      errorCodes.protocolError,
    ],
    'a block that DATA interrupts': [[headers(1, get, 0), frame(frameTypes.data, 0, 1, 'a')], 1],
    'a block of too many frames': [
      [headers(1, get, 0), ...Array.from({ length: 9 }, () => frame(frameTypes.continuation, 0, 1))],
      errorCodes.enhanceYourCalm,
    ],
    'fields that are eight times too many, by the table': [
      [frame(frameTypes.headers, bothEnds, 1, Buffer.concat([block(get), entry, Buffer.alloc(100, 0xbe)]))],
      errorCodes.enhanceYourCalm,
    ],
    'padding longer than its frame': [
      [headers(1, post, 4), frame(frameTypes.data, frameFlags.padded, 1, '\x05abc')],
      errorCodes.protocolError,
    ],
    'a frame that is too long': [[frame(frameTypes.data, 0, 1, Buffer.alloc(16_385))], 6],
    'SETTINGS of seven bytes': [[frame(frameTypes.settings, 0, 0, Buffer.alloc(7))], 6],
    'a window of the connection that overflows': [[frame(frameTypes.windowUpdate, 0, 0, word(0x7fffffff))], 3],
    'a broken block': [[frame(frameTypes.headers, 5, 1, Buffer.of(0x80))], 9],
    'PING of seven bytes': [[frame(frameTypes.ping, 0, 0, '1234567')], 6],
    'SETTINGS on a stream': [[frame(frameTypes.settings, 0, 1)], 1],
    'INITIAL_WINDOW_SIZE above 2^31-1': [
      [frame(frameTypes.settings, 0, 0, Buffer.concat([Buffer.of(0, 4), word(0x80000000)]))],
      errorCodes.flowControlError,
    ],
  };
  for (const [name, [frames, code]] of Object.entries(connectionErrors)) {
    test(`ends the connection for ${name}`, () => {
      const { server, send } = rig();
      assert.equal(send(...frames).at(-1), `failed ${code}`);
      assert.match(said(server).at(-1) ?? '', new RegExp(`^goaway \\d+ ${code}$`));
      assert.deepEqual(send(headers(99)), []);
    });
  }

  test('takes no bytes that are not the preface', () => {
    const server = new SessionEnd('server');
    server.receive(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    assert.deepEqual(server.events, ['failed 1']);
  });

  test('remembers how a stream ended', () => {
    const { server, send } = rig();
    send(headers(1), frame(frameTypes.rstStream, 0, 1, word(8)));
    send(frame(frameTypes.data, 0, 1, 'a'));
    assert.deepEqual(said(server), ['rstStream 1 5']);
    send(headers(3, post, frameFlags.endHeaders));
    server.session.reset(server.streams.get(3) as Stream<string>, errorCodes.cancel);
    send(frame(frameTypes.data, 0, 3, 'a'));
    assert.deepEqual(said(server), ['rstStream 3 8']);
    send(headers(5));
    server.session.respond(server.streams.get(5) as Stream<string>, 204, '', true);
    server.takeEvents();
    assert.deepEqual(send(frame(frameTypes.data, 0, 5, 'a')), ['failed 5']);
  });

  test('refuses a stream too many, says once more how many may be open, and goes on when one ends', () => {
    const { server, send } = rig();
    for (let id = 1; id < 200; id += 2) send(headers(id));
    assert.deepEqual(send(headers(201)), []);
    const [reminder, refusal] = readFrames(server.takeOutput());
    assert.equal(reminder?.type, frameTypes.settings);
    assert.equal(reminder.payload.toString('hex'), '000300000064');
    assert.equal(refusal?.type, frameTypes.rstStream);
    send(headers(203));
    assert.deepEqual(said(server), ['rstStream 203 7']);
    server.session.respond(server.streams.get(1) as Stream<string>, 200, '', true);
    assert.deepEqual(send(headers(205)), ['1 finished', '205 headers GET / end']);
  });

  test('gives back the connection’s window of streams that it resets', () => {
    const { server, send } = rig();
    server.isReading = false;
    for (let id = 1; id < 600; id += 2) {
      send(headers(id, post, frameFlags.endHeaders), frame(frameTypes.data, 0, id, Buffer.alloc(16_384)));
      server.session.reset(server.streams.get(id) as Stream<string>, errorCodes.cancel);
    }
    assert.equal(server.session.isOver, false);
    assert.ok(said(server).includes('windowUpdate 0'));
  });
});
