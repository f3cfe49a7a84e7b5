import { createCipheriv, createHmac } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';

/** A client of TLS 1.3 that node:tls makes the handshake for, and that then writes the records that it is told to. */
export class RecordClient {
  readonly socket: Socket;
  /** Encrypted ones, since the handshake. */
  receivedBytes = 0;
  isClosed = false;
  #secret: Buffer;
  #key!: Buffer;
  #iv!: Buffer;
  #records = 0n;

  private constructor(socket: Socket, secret: Buffer) {
    this.socket = socket;
    this.#secret = secret;
    this.#useSecret();
    socket.on('data', (bytes: Buffer) => {
      this.receivedBytes += bytes.length;
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static async open(port: number, servername: string): Promise<RecordClient> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const wire = new Duplex({ read() {}, write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done) });
    const forward = (bytes: Buffer) => wire.push(bytes);
    socket.on('data', forward);
    const only = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;
    const tls = connectTls({ socket: wire, servername, rejectUnauthorized: false, ...only });
    let secret = '';
    tls.on('keylog', (line: Buffer) => {
      secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ (\S+)/.exec(line.toString())?.[1] ?? secret;
    });
    await new Promise((resolve, reject) => tls.once('secureConnect', resolve).once('error', reject));
    socket.off('data', forward);
    return new RecordClient(socket, Buffer.from(secret, 'hex'));
  }

  /** Application data. */
  data(text: string): Buffer {
    return this.#record(23, Buffer.from(text, 'latin1'));
  }

  /** A KeyUpdate that asks for one (RFC 8446 §4.6.3). What is made afterwards has the new key. */
  keyUpdate(): Buffer {
    const record = this.#record(22, Buffer.from([24, 0, 0, 1, 1]));
    this.#secret = this.#expand('traffic upd', 32);
    this.#useSecret();
    return record;
  }

  #useSecret(): void {
    this.#key = this.#expand('key', 16);
    this.#iv = this.#expand('iv', 12);
    this.#records = 0n;
  }

  /** HKDF-Expand-Label (RFC 8446 §7.1), of no more than one block. */
  #expand(label: string, length: number): Buffer {
    const text = Buffer.from(`tls13 ${label}`);
    const info = Buffer.concat([Buffer.from([0, length, text.length]), text, Buffer.from([0, 1])]);
    return createHmac('sha256', this.#secret).update(info).digest().subarray(0, length);
  }

  #record(type: number, bytes: Buffer): Buffer {
    const head = Buffer.from([23, 3, 3, 0, 0]);
    head.writeUInt16BE(bytes.length + 17, 3);
    const nonce = Buffer.from(this.#iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ this.#records++, 4);
    const cipher = createCipheriv('aes-128-gcm', this.#key, nonce).setAAD(head);
    return Buffer.concat([head, cipher.update(Buffer.from([...bytes, type])), cipher.final(), cipher.getAuthTag()]);
  }
}
