import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { certificateFor } from '../kit/certificate.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { certificateRow, plainServerTls, plainTable, row } from '../kit/rows.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const stops: (() => unknown)[] = [];
after(async () => {
  for (const stop of stops.reverse()) await stop();
});

const mib = 1 << 20;
/** More than a chunk holds of short writes, less than the 64 KiB that a TLS socket takes before it says that it is full. */
const pieceBytes = 20_000;

/** Every four bytes say where they belong. */
const pattern = Buffer.from(Uint32Array.from({ length: (24 * mib) / 4 }, (_, i) => i).buffer);

/** Lets the gateway, which lives on the same loop, read what was written before more is. */
async function writeInPieces(socket: Socket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pieceBytes) {
    socket.write(bytes.subarray(at, at + pieceBytes));
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    if (socket.writableLength > mib) {
      socket.write(bytes.subarray(at + pieceBytes));
      return;
    }
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function tlsListener(): Promise<ReturnType<typeof row>[]> {
  const pair = await certificateFor(['gw.test']);
  return [
    row('listener', {
      id: 'http',
      protocol: 'https',
      tls: { ...plainServerTls, defaultCertificateId: 'c' },
    }),
    certificateRow('c', ['gw.test'], pair),
  ];
}

test('what waits for a slow TLS client is not overwritten by what the backend sends next', async () => {
  const port = await listening(
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${pattern.length}\r\n\r\n`);
        void writeInPieces(socket, pattern);
      });
    }),
  );
  const gateway = await testGateway([...plainTable([{ address: '127.0.0.1', port }]), ...(await tlsListener())]);
  stops.push(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port, tls: { servername: 'gw.test' } });
  client.socket.pause();
  client.send(get('/', 'gw.test'));
  await waitUntil(() => gateway.gateway.counts().upstream === 1, 'the request to be forwarded');
  for (let turn = 0; turn < 3_000; turn++) await new Promise(setImmediate);
  client.socket.resume();
  const { body } = await client.response();
  assert.equal(body.length, pattern.length);
  assert.equal(firstDifference(body), -1);
  client.destroy();
});

test('what waits for a slow TLS backend is not overwritten by what the client sends next', async () => {
  const pair = await certificateFor(['backend.test']);
  const received: Buffer[] = [];
  let receivedBytes = 0;
  let backend: Socket | undefined;
  const port = await listening(
    createTlsServer(pair, (socket) => {
      backend = socket;
      socket.on('error', () => undefined);
      socket.pause();
      socket.on('data', (bytes: Buffer) => {
        received.push(bytes);
        receivedBytes += bytes.length;
      });
      socket.pause();
    }),
  );
  const table = plainTable([{ address: '127.0.0.1', port }]).filter(({ kind }) => kind !== 'backend');
  const gateway = await testGateway([...table, row('backend', { id: 'b', protocol: 'https' })]);
  stops.push(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port });
  client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${pattern.length}\r\n\r\n`);
  await waitUntil(() => backend !== undefined, 'the request to be forwarded');
  await writeInPieces(client.socket, pattern);
  backend?.resume();
  await waitUntil(() => receivedBytes > pattern.length, 'the whole request');
  const request = Buffer.concat(received);
  const body = request.subarray(request.indexOf('\r\n\r\n') + 4);
  assert.equal(body.length, pattern.length);
  assert.equal(firstDifference(body), -1);
  client.destroy();
  backend?.destroy();
});

/** Sends so many requests that the gateway answers itself, reads nothing, and tells how many were answered. */
async function pipeline(gateway: TestGateway, requests: string): Promise<{ client: RawClient; answered: number }> {
  const before = gateway.records.length;
  const client = await RawClient.open({ port: gateway.port });
  client.socket.pause();
  client.send(requests);
  let seen = -1;
  for (let turn = 0; turn < 500 || seen !== gateway.records.length; turn++) {
    seen = gateway.records.length;
    await new Promise(setImmediate);
  }
  return { client, answered: gateway.records.length - before };
}

test('the last answer of a connection reaches a client that takes its time with the end of it', async () => {
  const table = plainTable([]).filter(({ kind }) => kind !== 'route');
  const gateway = await testGateway(table, { lingerMs: 1, idleMs: 600 });
  stops.push(() => gateway.stop());
  const request = get('/', 'gw.test');
  const { client, answered } = await pipeline(gateway, request.repeat(20_000));
  client.destroy();
  assert.ok(answered < 20_000);
  // Somewhat fewer do not make the socket full, but the last of their answers do not fit into the kernel any more.
  const last = get('/', 'gw.test', ['Connection: close']);
  const clients: { client: RawClient; sent: number }[] = [];
  for (let fewer = 5; fewer < 30; fewer += 5) {
    const sent = answered - fewer;
    clients.push({ client: (await pipeline(gateway, request.repeat(sent - 1) + last)).client, sent });
  }
  // When an idle connection has been given up, so has whatever lingers longer than it may.
  await (await RawClient.open({ port: gateway.port })).closed();
  for (const each of clients) {
    each.client.socket.resume();
    await each.client.closed();
    const text = each.client.received.toString('latin1');
    assert.equal(text.split('HTTP/1.1 404').length - 1, each.sent);
    assert.ok(text.endsWith('</html>\n'));
    each.client.destroy();
  }
});

test('who asks on and on and reads nothing is given up, though all that was asked is answered', async () => {
  const table = plainTable([]).filter(({ kind }) => kind !== 'route');
  const gateway = await testGateway(table, { writeIdleMs: 300, idleMs: 60_000, requestsPerConnection: 100_000 });
  stops.push(() => gateway.stop());
  const { client, answered } = await pipeline(gateway, get('/', 'gw.test').repeat(20_000));
  stops.push(async () => client.destroy());
  assert.ok(answered < 20_000);
  await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be given up');
});

test('a client of HTTP/2 that opens its windows and reads nothing is given up, and so is the backend', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'x'.repeat(32 << 20)) });
  const { port } = recorder;
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port }]), { writeIdleMs: 300, idleMs: 60_000 });
  const client = await H2Client.open(gateway);
  stops.push(
    () => recorder.stop(),
    () => gateway.stop(),
    async () => client.destroy(),
  );
  client.client.socket.pause();
  client.greet([4, 0x7fffffff]);
  client.send(frame(frameTypes.windowUpdate, 0, 0, Buffer.of(0x70, 0, 0, 0)));
  client.send(client.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
  await recorder.request(0);
  await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be given up');
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'that to the backend to go with it');
  assert.deepEqual(
    gateway.records.map(({ status, flag }) => `${status} ${flag}`),
    ['200 DWT'],
  );
});

test('connections that never finish their handshake count, and make room when they go', async () => {
  const table = [...plainTable([]), ...(await tlsListener())];
  const gateway = await testGateway(table, { connections: 8, handshakeMs: 60_000 });
  stops.push(() => gateway.stop());
  // What one address may have of eight.
  const silent = await Promise.all(Array.from({ length: 6 }, () => RawClient.open({ port: gateway.port })));
  await (await RawClient.open({ port: gateway.port })).closed();
  for (const each of silent) each.socket.resetAndDestroy();
  for (let round = 0; round < 3; round++) {
    const clients = await eventually(() => openTls(gateway.port, 4), 'room for new connections');
    for (const each of clients) {
      each.send(get('/', 'gw.test'));
      assert.equal((await each.response()).status, 503);
      each.destroy();
    }
  }
});

/** So many at once, or none. */
async function openTls(port: number, count: number): Promise<RawClient[] | undefined> {
  const opening = Array.from({ length: count }, () => RawClient.open({ port, tls: { servername: 'gw.test' } }));
  const clients = (await Promise.allSettled(opening)).flatMap((each) =>
    each.status === 'fulfilled' ? each.value : [],
  );
  if (clients.length === count) return clients;
  for (const each of clients) each.destroy();
  return undefined;
}

/** Says at once what nobody will read, and never reads the rest of its request. */
async function hasty(): Promise<number> {
  return await listening(
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.pause();
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${pattern.length}\r\n\r\n`);
        socket.write(pattern);
      });
    }),
  );
}

/** Lets everything on the way fill up. */
async function standstill(): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) await new Promise(setImmediate);
}

test('an early answer that nobody reads is given up, though the request has come whole meanwhile', async () => {
  const port = await hasty();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port }]), { writeIdleMs: 500 });
  stops.push(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port });
  client.socket.pause();
  client.send('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\na');
  await standstill();
  client.send('b');
  await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be given up');
  assert.equal(gateway.gateway.counts().upstream, 0);
  assert.equal(gateway.records.length, 1);
  client.destroy();
});

test('a client and a backend that write without reading are given up', async () => {
  const port = await hasty();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port }]), { writeIdleMs: 500 });
  stops.push(() => gateway.stop());
  const client = await RawClient.open({ port: gateway.port });
  client.socket.pause();
  client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${pattern.length}\r\n\r\n`);
  client.send(pattern);
  await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be given up');
  assert.equal(gateway.gateway.counts().upstream, 0);
  assert.equal(gateway.records.length, 1);
  client.destroy();
});

/** Offset of the first byte that is not where it belongs; -1: none. */
function firstDifference(body: Buffer): number {
  return body.equals(pattern) ? -1 : body.findIndex((byte, at) => byte !== pattern[at]);
}
