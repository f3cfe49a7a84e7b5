import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { CertificatePair } from './certificate.ts';
import { Records } from './records.ts';

/** Called with the first bytes of each connection. */
type Asked = (socket: Socket, records: Records) => void;

/** A backend of TLS 1.3 that node:tls makes the handshake for, and that then writes the records that it is told to. */
export class RecordBackend {
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(pair: CertificatePair, asked: Asked) {
    const secureContext = createSecureContext({ ...pair, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' });
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      let isOurs = false;
      const write = (bytes: Buffer, _encoding: unknown, done: () => void) => {
        // Of the tickets that it has in mind.
        if (isOurs) done();
        else socket.write(bytes, done);
      };
      const wire = new Duplex({ read() {}, write });
      const forward = (bytes: Buffer) => void wire.push(bytes);
      socket.on('data', forward);
      const tls = new TLSSocket(wire, { isServer: true, secureContext });
      let keys = '';
      tls.on('keylog', (line: Buffer) => {
        keys += line.toString();
      });
      tls.once('data', () => {
        isOurs = true;
        socket.off('data', forward);
        socket.resume();
        asked(socket, new Records('SERVER', keys));
      });
    });
  }

  static async start(pair: CertificatePair, asked: Asked): Promise<RecordBackend> {
    const backend = new RecordBackend(pair, asked);
    backend.#server.listen(0, '127.0.0.1');
    await once(backend.#server, 'listening');
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
