import { connect } from 'node:net';
import { Duplex } from 'node:stream';

/** A wire for a TLS client whose ClientHello goes through at once, and all that follows when the test says so. */
export class SlowHandshake {
  /** For node:tls. */
  readonly socket: Duplex;
  readonly #held: Buffer[] = [];
  readonly #send: (bytes: Buffer) => void;
  #isReleased = false;

  constructor(port: number) {
    const wire = connect(port, '127.0.0.1');
    let hasSpoken = false;
    this.#send = (bytes) => wire.write(bytes);
    this.socket = new Duplex({
      read() {},
      write: (bytes: Buffer, _encoding, done) => {
        if (hasSpoken && !this.#isReleased) this.#held.push(bytes);
        else wire.write(bytes);
        hasSpoken = true;
        done();
      },
      final(done) {
        wire.end(done);
      },
    });
    wire.on('data', (bytes) => this.socket.push(bytes));
    wire.on('end', () => this.socket.push(null));
    wire.on('error', (error) => this.socket.destroy(error));
  }

  readonly release = (): void => {
    this.#isReleased = true;
    for (const bytes of this.#held.splice(0)) this.#send(bytes);
  };
}
