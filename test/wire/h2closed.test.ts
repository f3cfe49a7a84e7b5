import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errorCodes, frameTypes } from '../../proxy/frame/codes.ts';
import type { Stream } from '../../proxy/frame/stream.ts';
import { frame, SessionEnd, settle } from '../kit/h2pair.ts';

/** Many at once: more than are remembered one by one. */
const count = 600;
const get = [':method: GET', ':path: /', ':scheme: http', ':authority: gw.test'];
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
    const post = [':method: POST', ...get.slice(1)];
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

  test('but a stream that was never open is', () => {
    const { client, server } = rig();
    settle(client, server);
    client.receive(frame(frameTypes.data, 0, 2 * count + 1, 'a'));
    assert.deepEqual(client.takeEvents().at(-1), `failed ${errorCodes.protocolError}`);
  });
});
