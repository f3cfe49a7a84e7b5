import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
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

for (const how of ['by the kernel', 'by whoever looked into it'] as const) {
  test(`of a client whose ClientHello waits, brought ${how}, nothing more is read, however much it sends`, async (t) => {
    const context = createSecureContext({
      ...(await certificateFor(['a.test'])),
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
    const hello = await clientHello();
    let accepted: TcpHandle | undefined;
    let goOn: (() => void) | undefined;
    let link: TlsLink | undefined;
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    takeAccepted(server, (handle) => {
      accepted = handle;
      const terms = { context, protocols, asksForCertificate: false };
      link = new TlsLink(handle, Buffer.alloc(readBytes), terms, {
        helloCame(on) {
          goOn = on;
        },
        contextFor: () => context,
        secured() {},
      });
      link.receiver = nobody;
      link.begin(how === 'by the kernel' ? Buffer.alloc(0) : hello);
    });
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined);
    t.after(() => {
      socket.destroy();
      server.close();
      link?.destroy();
    });
    if (how === 'by the kernel') socket.write(hello);
    await waitUntil(() => goOn !== undefined, 'the ClientHello');
    // More than kernels hold for a connection.
    let isWritten = false;
    socket.write(Buffer.alloc(32 << 20, 0x17), () => {
      isWritten = true;
    });
    for (let turn = 0; turn < 1_000; turn++) await new Promise(setImmediate);
    assert.equal(isWritten, false);
    assert.ok((accepted?.bytesRead ?? 0) <= readBytes, `${accepted?.bytesRead} bytes`);
    goOn?.();
    await waitUntil(() => link?.isDestroyed === true, 'what was sent to be refused as no handshake');
  });
}
