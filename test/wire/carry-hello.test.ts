import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { type TcpHandle, takeAccepted } from '../../proxy/carry/handle.ts';
import { nobody } from '../../proxy/carry/link.ts';
import { TlsLink } from '../../proxy/carry/tlslink.ts';
import { certificateFor } from '../kit/certificate.ts';
import { waitUntil } from '../kit/wait.ts';

const protocols = Buffer.from('\x08http/1.1', 'latin1');
/** What one read takes. */
const readBytes = 65_536;

/** The first words of a client. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({ read() {}, write: (bytes: Buffer) => resolve(bytes) });
    connectTls({ socket: wire, servername: 'a.test' }).on('error', () => undefined);
  });
}

/** A server whose client has sent a ClientHello. */
async function waiting(t: TestContext, how: 'by the kernel' | 'by whoever looked into it' = 'by the kernel') {
  const context = createSecureContext({
    ...(await certificateFor(['a.test'])),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
  const hello = await clientHello();
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  if (how === 'by the kernel') socket.write(hello);
  const contextFor = t.mock.fn(() => context);
  const came = await new Promise<{ handle: TcpHandle; link: TlsLink; goOn(): void }>((resolve) => {
    takeAccepted(server, (handle) => {
      const terms = { context, protocols, asksForCertificate: false };
      const link: TlsLink = new TlsLink(handle, Buffer.alloc(readBytes), terms, {
        helloCame: (goOn) => resolve({ handle, link, goOn }),
        contextFor,
        secured() {},
      });
      link.receiver = nobody;
      link.begin(how === 'by the kernel' ? Buffer.alloc(0) : hello);
    });
  });
  t.after(() => {
    socket.destroy();
    server.close();
    came.link.destroy();
  });
  return { ...came, contextFor, socket };
}

for (const how of ['by the kernel', 'by whoever looked into it'] as const) {
  test(`of a client whose ClientHello waits, brought ${how}, nothing more is read, however much it sends`, async (t) => {
    const { handle, link, goOn, socket } = await waiting(t, how);
    // More than kernels hold for a connection.
    let isWritten = false;
    socket.write(Buffer.alloc(32 << 20, 0x17), () => {
      isWritten = true;
    });
    for (let turn = 0; turn < 1_000; turn++) await new Promise(setImmediate);
    assert.equal(isWritten, false);
    assert.ok(handle.bytesRead <= readBytes, `${handle.bytesRead} bytes`);
    goOn();
    await waitUntil(() => link.isDestroyed, 'what was sent to be refused as no handshake');
  });
}

test('for a client that has reset its connection while its ClientHello waited nothing more is done', async (t) => {
  const { link, goOn, contextFor, socket } = await waiting(t);
  socket.resetAndDestroy();
  await once(socket, 'close');
  goOn();
  assert.equal(link.isDestroyed, true);
  assert.equal(link.fault, 'ECONNRESET');
  assert.equal(contextFor.mock.callCount(), 0);
});
