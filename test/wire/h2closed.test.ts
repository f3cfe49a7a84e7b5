import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import type { Stream } from '../../proxy/frame/stream.ts';
import { frame, SessionEnd, sessionLimits, settle } from '../kit/h2pair.ts';
import { rig as byHand, get, headers, post, said } from '../kit/h2rig.ts';

/** Many at once: more than are remembered one by one. */
const count = 600;
const ids = Array.from({ length: count }, (_, i) => 2 * i + 1);

/** A client with many open requests, and what its server has on the way for them. */
function rig(): { client: SessionEnd; server: SessionEnd; streams: Stream<string>[] } {
  const [client, server] = [new SessionEnd('client'), new SessionEnd('server', { streams: 1_000 })];
  settle(client, server);
  const streams = ids.map((id) => client.session.open(String(id)));
  for (const stream of streams) client.session.request(stream, get, '', true);
  settle(client, server);
  for (const id of ids) {
    const stream = server.streams.get(id) as Stream<string>;
    server.session.respond(stream, 200, '', false);
    server.session.data(stream, Buffer.from('begin'), 0, 5, false);
  }
  return { client, server, streams };
}

describe('what was on its way when a stream was reset', () => {
  test('is no fault of a server, however many are reset at once', () => {
    const { client, server, streams } = rig();
    for (const stream of streams.slice(1)) client.session.reset(stream, errorCodes.cancel);
    client.receive(server.takeOutput());
    assert.equal(client.session.isOver, false);
    assert.equal(client.bodies.get(1), 'begin');
  });

  test('is no fault of a client either', () => {
    const server = new SessionEnd('server');
    const client = new SessionEnd('client');
    settle(client, server);
    for (let id = 1; id < 200; id += 2) client.session.request(client.session.open(String(id)), post, '', false);
    settle(client, server);
    for (const stream of [...server.streams.values()].slice(1)) server.session.reset(stream, errorCodes.noError);
    for (const stream of client.session.streams.values()) {
      client.session.data(stream, Buffer.from('begin'), 0, 5, true);
    }
    server.receive(client.takeOutput());
    assert.equal(server.session.isOver, false);
    assert.equal(server.bodies.get(1), 'begin');
  });

  test('is no fault of a client that sends little bits, while they may be on their way', () => {
    const { server, send } = byHand();
    send(headers(1, post, frameFlags.endHeaders), headers(3, post, frameFlags.endHeaders));
    server.session.reset(server.streams.get(1) as Stream<string>, errorCodes.noError);
    const bit = frame(frameTypes.data, 0, 1, '0123456');
    const bits = Math.floor(sessionLimits.mostStreamWindowBytes / 7);
    for (let i = 0; i < bits; i++) send(bit);
    assert.equal(server.session.isOver, false);
    for (let i = 0; i < 2_000 && !server.session.isOver; i++) send(bit);
    assert.match(said(server).at(-1) ?? '', /^goaway 3 11$/);
  });

  test('but a stream that was never open is', () => {
    const { client, server } = rig();
    settle(client, server);
    client.receive(frame(frameTypes.data, 0, 2 * count + 1, 'a'));
    assert.deepEqual(client.takeEvents().at(-1), `failed ${errorCodes.protocolError}`);
  });
});
