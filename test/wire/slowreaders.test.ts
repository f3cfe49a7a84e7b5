import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { certificateFor } from '../kit/certificate.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { certificateRow, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

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
      tls: { minVersion: 'TLSv1.2', defaultCertificateId: 'c' },
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

/** Offset of the first byte that is not where it belongs; -1: none. */
function firstDifference(body: Buffer): number {
  return body.equals(pattern) ? -1 : body.findIndex((byte, at) => byte !== pattern[at]);
}
