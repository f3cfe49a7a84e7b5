import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { connect as dial } from '../../proxy/carry/connect.ts';
import { certificateFor } from '../kit/certificate.ts';
import { EchoServer } from '../kit/echo.ts';
import { waitUntil } from '../kit/wait.ts';

/** Has the end of its handshake, a request and a reset arrive at once. @returns what the server is told of the client's end */
async function resetWith(request: string): Promise<string[]> {
  const context = createSecureContext({
    ...(await certificateFor(['a.test'])),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
  const ends: string[] = [];
  const server = await EchoServer.start(context, (link) => ({
    // As a backend answers: in a later turn.
    receive: () => void setImmediate(() => link.write(Buffer.from('answer'))),
    ended() {
      ends.push('FIN');
      link.close();
    },
    closed: () => void ends.push(link.fault),
  }));
  const tcp = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  // All but the first words of the client are kept back.
  const kept: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      if (tcp.bytesRead === 0) tcp.write(bytes);
      else kept.push(bytes);
      done();
    },
  });
  tcp.on('data', (bytes) => wire.push(bytes));
  tcp.on('error', () => undefined);
  const socket = connectTls({ socket: wire, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  await once(socket, 'secureConnect');
  if (request !== '') await new Promise((written) => socket.write(request, written));
  await waitUntil(() => kept.length > 0, 'the end of the handshake');
  tcp.write(Buffer.concat(kept));
  tcp.resetAndDestroy();
  await waitUntil(() => server.open === 0, 'the connection to be gone');
  socket.destroy();
  server.close();
  return ends;
}

test('TLS: a client that resets when its handshake is done has not ended in order, though it is tickets that find the reset', async () => {
  assert.deepEqual(await resetWith(''), ['ECONNRESET']);
});

test('TLS: nor has one whose answer is written after them, which waits for nothing', async () => {
  assert.deepEqual(await resetWith('request'), ['ECONNRESET']);
});

test('a server that has ended its side, and is gone, ends the connection at the write that finds it out', async () => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const told: string[] = [];
  const link = dial(
    {
      chunk: null,
      connected: () => {},
      receive: () => {},
      ended: () => told.push('FIN'),
      emptied: () => {},
      closed: () => told.push(link.fault),
    },
    '127.0.0.1',
    (server.address() as { port: number }).port,
    Buffer.alloc(1_024),
  );
  const [socket] = await accepted;
  socket.end();
  await waitUntil(() => told.length > 0, 'its FIN');
  socket.destroy();
  await waitUntil(() => {
    link.writeText('more');
    return told.length > 1;
  }, 'the end of the connection');
  server.close();
  assert.equal(told[0], 'FIN');
  assert.match(told[1] ?? '', /^(?:EPIPE|ECONNRESET)$/);
});
