import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { plainWindowBytes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

/** A backend whose first connection gives no byte of its window back: a few of its requests are answered, of the next all. */
async function rig(
  sendMs: number,
  connections: number,
  pending: number,
): Promise<{ port: number; backend: SessionBackend; first: SessionEnd }> {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server', { connectionWindowBytes: plainWindowBytes });
    end.isReading = ends.push(end) > 1;
    if (!end.isReading) end.session.inflow.forget = () => undefined;
    end.onHeaders = (stream) => {
      const isAnswered = end.isReading || /early|warm/.test(end.events.at(-1) ?? '');
      if (isAnswered) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const timeouts = { connectMs: 5_000, sendMs, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c', circuit: { connections, pending, requests: 0, retries: 0 } }),
    row('route', { id: 'r', timeouts }),
  ]);
  opened.push(backend, gateway);
  // The first brings the backend's SETTINGS.
  assert.equal((await exchange({ port: gateway.port }, get('/warm', 'gw.test'))).status, 200);
  return { port: gateway.port, backend, first: ends[0] as SessionEnd };
}

const post = (path: string, bytes: number) =>
  `POST ${path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n${'a'.repeat(bytes)}`;

test('a connection whose window stays closed when nothing is under way is not used again', async () => {
  const { port, backend, first } = await rig(300, 0, 0);
  assert.equal((await exchange({ port }, post('/early', 2 * plainWindowBytes))).status, 200);
  await waitUntil(() => first.events.some((event) => event.startsWith('3 reset')), 'the upload to be given up');
  assert.equal((await exchange({ port }, post('/next', 10))).status, 200);
  assert.equal(backend.connections, 2);
});

test('nor is one by which an upload came no further while others wait, where there may be but one', async () => {
  const { port, backend, first } = await rig(300, 1, 0);
  const waiting = await RawClient.open({ port });
  opened.push({ stop: async () => waiting.destroy() });
  waiting.send(get('/wait', 'gw.test'));
  const stuck = exchange({ port }, post('/stuck', 2 * plainWindowBytes));
  await waitUntil(() => first.bodies.get(5)?.length === plainWindowBytes, 'the window to be closed');
  assert.equal((await exchange({ port }, get('/warm', 'gw.test'))).status, 200);
  assert.equal((await stuck).status, 504);
  assert.equal((await exchange({ port }, post('/next', 10))).status, 200);
  assert.equal(backend.connections, 2);
});

test('who has the whole window of a connection keeps nobody else waiting', async () => {
  const { port, backend, first } = await rig(60_000, 0, 0);
  const stuck = await RawClient.open({ port });
  opened.push({ stop: async () => stuck.destroy() });
  stuck.send(post('/stuck', 2 * plainWindowBytes));
  await waitUntil(() => first.bodies.get(3)?.length === plainWindowBytes, 'the window to be closed');
  assert.equal((await exchange({ port }, post('/next', 10))).status, 200);
  assert.equal(backend.connections, 2);
});

test('nor is anybody refused for it, where few may wait for a connection', async () => {
  const { port, first } = await rig(60_000, 0, 1);
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.open({ port })));
  const [stuck, ...others] = clients as [RawClient, ...RawClient[]];
  for (const client of clients) opened.push({ stop: async () => client.destroy() });
  stuck.send(post('/stuck', 2 * plainWindowBytes));
  await waitUntil(() => first.bodies.get(3)?.length === plainWindowBytes, 'the window to be closed');
  for (const client of others) client.send(get('/warm', 'gw.test'));
  for (const client of others) assert.equal((await client.response()).status, 200);
});
