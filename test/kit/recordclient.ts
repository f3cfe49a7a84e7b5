import { createCipheriv, createHmac } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { Records } from './records.ts';

/** A client of TLS 1.3 that node:tls makes the handshake for, and that then writes the records that it is told to. */
export class RecordClient {
  readonly socket: Socket;
  readonly records: Records;
  /** Encrypted ones, since the handshake. */
  receivedBytes = 0;
  isClosed = false;

  private constructor(socket: Socket, records: Records) {
    this.socket = socket;
    this.records = records;
    socket.on('data', (bytes: Buffer) => {
      this.receivedBytes += bytes.length;
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static async open(port: number, servername: string): Promise<RecordClient> {
    const { socket, keys } = await handshake(port, servername, 'TLSv1.3', 'TLS_AES_128_GCM_SHA256');
    return new RecordClient(socket, new Records('CLIENT', keys));
  }
}

/** The same of TLS 1.2, for ClientHellos behind the first one. */
export class OldRecordClient {
  readonly socket: Socket;
  isClosed = false;
  readonly #key: Buffer;
  readonly #salt: Buffer;
  /** Finished was the first. */
  #records = 1n;

  private constructor(socket: Socket, block: Buffer) {
    this.socket = socket;
    this.#key = block.subarray(0, 16);
    this.#salt = block.subarray(32, 36);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static async open(port: number, servername: string): Promise<OldRecordClient> {
    const { socket, keys, hello } = await handshake(port, servername, 'TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256');
    const [, random = '', master = ''] = /^CLIENT_RANDOM (\S+) (\S+)/m.exec(keys) ?? [];
    // Behind the headers of record and message, and the version.
    const seed = Buffer.concat([Buffer.from('key expansion'), hello.subarray(11, 43), Buffer.from(random, 'hex')]);
    const hmac = (bytes: Buffer) => createHmac('sha256', Buffer.from(master, 'hex')).update(bytes).digest();
    const first = hmac(seed);
    const blocks = [first, hmac(first)].map((each) => hmac(Buffer.concat([each, seed])));
    return new OldRecordClient(socket, Buffer.concat(blocks));
  }

  /** A ClientHello of which nothing but the header is there. */
  hello(): Buffer {
    const bytes = Buffer.from([1, 0, 0, 0]);
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(this.#records++);
    const cipher = createCipheriv('aes-128-gcm', this.#key, Buffer.concat([this.#salt, count]));
    cipher.setAAD(Buffer.concat([count, Buffer.from([22, 3, 3, 0, bytes.length])]));
    const sealed = [cipher.update(bytes), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat([Buffer.from([22, 3, 3, 0, bytes.length + 24]), count, ...sealed]);
  }
}

/** What is left of it: the connection, the lines of its key log, and the first bytes of the server. */
async function handshake(port: number, servername: string, version: 'TLSv1.2' | 'TLSv1.3', ciphers: string) {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  const wire = new Duplex({ read() {}, write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done) });
  let hello = Buffer.alloc(0);
  const forward = (bytes: Buffer) => {
    if (hello.length === 0) hello = Buffer.from(bytes);
    wire.push(bytes);
  };
  socket.on('data', forward);
  const only = { minVersion: version, maxVersion: version, ciphers };
  const tls = connectTls({ socket: wire, servername, rejectUnauthorized: false, ...only });
  let keys = '';
  tls.on('keylog', (line: Buffer) => {
    keys += line.toString();
  });
  await new Promise((resolve, reject) => tls.once('secureConnect', resolve).once('error', reject));
  socket.off('data', forward);
  return { socket, keys, hello };
}
