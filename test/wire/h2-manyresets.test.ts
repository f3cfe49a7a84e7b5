import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const lines = (method: string) => [`:method: ${method}`, ':scheme: http', ':path: /', ':authority: gw.test'];

test('a backend made of nghttp2, which ends a connection after a thousand resets, answers any number of uploads early', async () => {
  // Each connection has no more than its burst, however slow the machine is.
  const server = http2.createServer({ streamResetBurst: 1_000, streamResetRate: 1 });
  const sessions: http2.ServerHttp2Session[] = [];
  const waiting: http2.ServerHttp2Stream[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined);
    if (headers[':method'] === 'GET') {
      waiting.push(stream);
      return;
    }
    stream.respond({ ':status': 401 });
    stream.write('no');
    stream.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // Who waits may do so for as long as all of it takes.
  const timeouts = { connectMs: 5_000, sendMs: 0, readMs: 0, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts }),
  ]);
  const other = await H2Client.open({ port: gateway.port });
  const client = await H2Client.open({ port: gateway.port });
  const stop = () => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  opened.push({ stop }, gateway, { stop: () => other.destroy() }, { stop: () => client.destroy() });
  other.greet();
  other.send(other.headers(1, lines('GET')));
  await waitUntil(() => waiting.length === 1, 'the request that waits');
  client.greet();
  const uploads = 50;
  const statuses = new Set<number>();
  for (let first = 1; first < 3_000; first += 2 * uploads) {
    const ids = Array.from({ length: uploads }, (_, i) => first + 2 * i);
    client.send(...ids.map((id) => client.headers(id, lines('POST'), false)));
    for (const id of ids) for (const status of (await client.answered(id)).statuses) statuses.add(status);
    client.send(...ids.map((id) => frame(frameTypes.data, frameFlags.endStream, id)));
    await client.settled();
  }
  assert.deepEqual([...statuses], [401]);
  // Who was on the first connection all the time still is.
  for (const stream of waiting) if (!stream.destroyed) stream.respond({ ':status': 204 }, { endStream: true });
  assert.deepEqual((await other.answered(1)).statuses, [204]);
  assert.equal(waiting.length, 1);
});

test('a backend made of Netty, which ends a connection with the 201st reset, or behind Envoy, which bears 250, loses no other, however late they come', async () => {
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  const waiting: http2.ServerHttp2Stream[] = [];
  let asked = 0;
  let takenBack = 0;
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => undefined);
    let resets = 0;
    session.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
      stream.on('error', () => undefined);
      if (headers[':path'] === '/waits') waiting.push(stream);
      else asked++;
      stream.on('aborted', () => {
        takenBack++;
        if (++resets > 200) session.destroy();
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: (server.address() as AddressInfo).port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  const stop = () => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  opened.push({ stop }, gateway);
  const open = async () => {
    const client = await H2Client.open({ port: gateway.port });
    opened.push({ stop: () => client.destroy() });
    client.greet();
    return client;
  };
  const other = await open();
  other.send(other.headers(1, lines('GET').with(2, ':path: /waits')));
  await waitUntil(() => waiting.length === 1, 'the request that waits');
  const ids = Array.from({ length: 10 }, (_, i) => 1 + 2 * i);
  // Of as many clients as it takes: none is as impatient as to be sent away.
  const askTen = async () => {
    const client = await open();
    const before = asked;
    client.send(...ids.map((id) => client.headers(id, lines('GET'))));
    await waitUntil(() => asked === before + 10, 'the requests at the backend');
    return client;
  };
  const takeBack = async (client: H2Client) => {
    const before = takenBack;
    const cancel = Buffer.from([0, 0, 0, errorCodes.cancel]);
    client.send(...ids.map((id) => frame(frameTypes.rstStream, 0, id, cancel)));
    await waitUntil(() => takenBack === before + 10, 'them to be given up');
  };
  const late: H2Client[] = [];
  while (late.length < 9) late.push(await askTen());
  for (let round = 0; round < 20; round++) await takeBack(await askTen());
  for (const client of late) await takeBack(client);
  waiting[0]?.respond({ ':status': 204 }, { endStream: true });
  assert.deepEqual((await other.answered(1)).statuses, [204]);
  assert.equal(waiting.length, 1);
});
