import assert from 'node:assert/strict';
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend, type H2Request, h2Answer } from '../kit/h2backend.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('what a connection refuses below the limit that it has told goes to another; a backend that refuses all has no more of them', async () => {
  const held = new Map<ServerHttp2Session, ServerHttp2Stream[]>();
  const backend = await H2Backend.start({
    // It bears two at once, like gRPC's C core, which counts streams for a while after it has answered them.
    onEnd: ({ session, stream, headers }) => {
      const ours = held.get(session) ?? [];
      if (headers[':path'] === '/now') h2Answer(stream, 'ok');
      else if (ours.length === 2) refuse(stream);
      else held.set(session, [...ours, stream]);
    },
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  const ask = async (path: string) => {
    const client = await RawClient.open({ port: gateway.port });
    opened.push({ stop: async () => client.destroy() });
    client.send(get(path, 'gw.test'));
    return client;
  };
  assert.equal((await exchange({ port: gateway.port }, get('/now', 'gw.test'))).status, 200);
  const count = () => [...held.values()].flat().length;
  const clients: RawClient[] = [];
  for (let asked = 1; asked <= 4; asked++) {
    clients.push(await ask('/'));
    await waitUntil(() => count() === asked || gateway.records.length > 1, 'the request to be held');
  }
  assert.equal(backend.sessions.length, 2);
  for (const stream of [...held.values()].flat()) h2Answer(stream, 'late');
  for (const client of clients) assert.equal((await client.response(0)).status, 200);
  // Three try in vain, and nobody of many opens a connection of his own for that.
  backend.onEnd = ({ stream }: H2Request) => refuse(stream);
  const refused = await Promise.all(Array.from({ length: 20 }, () => ask('/')));
  for (const client of refused) assert.equal((await client.response(0)).status, 503);
  assert.ok(backend.sessions.length <= 3, `${backend.sessions.length} connections`);
});

function refuse(stream: ServerHttp2Stream): void {
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}
