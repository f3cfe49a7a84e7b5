import { createCipheriv, createHmac } from 'node:crypto';

/** What one side of TLS 1.3 writes after the handshake, by TLS_AES_128_GCM_SHA256. */
export class Records {
  #secret: Buffer;
  #key!: Buffer;
  #iv!: Buffer;
  #records = 0n;

  /** @param side whose secret it is
   *  @param keys lines of a key log */
  constructor(side: 'CLIENT' | 'SERVER', keys: string) {
    const secret = new RegExp(`^${side}_TRAFFIC_SECRET_0 \\S+ (\\S+)`, 'm').exec(keys)?.[1] ?? '';
    this.#secret = Buffer.from(secret, 'hex');
    this.#useSecret();
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

  /** A NewSessionTicket (RFC 8446 §4.6.1): an hour, no age added, one byte of nonce, a ticket of 32, no extension. */
  ticket(): Buffer {
    const terms = [0, 0, 14, 16, 0, 0, 0, 0, 1, 0, 0, 32];
    return this.#record(22, Buffer.from([4, 0, 0, 46, ...terms, ...Array(32).fill(7), 0, 0]));
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
