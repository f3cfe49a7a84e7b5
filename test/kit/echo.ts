import { createServer, type Server } from 'node:net';
import type { SecureContext } from 'node:tls';
import { type TcpHandle, takeAccepted } from '../../proxy/carry/handle.ts';
import { HandleLink } from '../../proxy/carry/handlelink.ts';
import type { Receiver } from '../../proxy/carry/link.ts';
import { TlsLink } from '../../proxy/carry/tlslink.ts';

/** What an accepted connection does; `link` is there before anything happens on it. */
export type Behaviour = (link: HandleLink) => Partial<Receiver>;

/** Accepts connections as the product does, and lets a test behave on them. */
export class EchoServer {
  readonly #server: Server;
  readonly #shared = Buffer.allocUnsafeSlow(65_536);
  readonly #context: SecureContext | null;
  readonly #behave: Behaviour;
  readonly #links = new Set<HandleLink>();
  accepted = 0;

  private constructor(context: SecureContext | null, behave: Behaviour) {
    this.#context = context;
    this.#behave = behave;
    this.#server = createServer();
  }

  /** @param context null: plain TCP */
  static async start(context: SecureContext | null, behave: Behaviour = echo): Promise<EchoServer> {
    const echoes = new EchoServer(context, behave);
    await new Promise<void>((resolve) => echoes.#server.listen(0, '127.0.0.1', 1_024, resolve));
    takeAccepted(echoes.#server, (handle) => echoes.#arrived(handle));
    return echoes;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get open(): number {
    return this.#links.size;
  }

  /** For an `nth` connection that is there. */
  get links(): readonly HandleLink[] {
    return [...this.#links];
  }

  #arrived(handle: TcpHandle): void {
    const asksForCertificate = this.accepted++ % 3 === 0;
    const link =
      this.#context === null
        ? new HandleLink(handle, handle, this.#shared)
        : this.#secure(handle, this.#context, asksForCertificate);
    this.#links.add(link);
    link.counter = { shed() {}, offended() {}, left: () => this.#links.delete(link) };
    if (!(link instanceof TlsLink)) {
      link.receiver = { ...quiet(link), ...this.#behave(link) };
      link.resume();
    }
  }

  #secure(handle: TcpHandle, context: SecureContext, asksForCertificate: boolean): TlsLink {
    const link: TlsLink = new TlsLink(
      handle,
      this.#shared,
      { context, protocols, asksForCertificate },
      {
        helloCame: (goOn) => goOn(),
        contextFor: (name) => (name === refusedName ? undefined : context),
        secured: () => {
          link.receiver = { ...quiet(link), ...this.#behave(link) };
        },
      },
    );
    link.receiver = quiet(link);
    link.begin(Buffer.alloc(0));
    return link;
  }

  close(): void {
    this.#server.close();
    for (const link of this.#links) link.destroy();
  }
}

/** The server has no certificate for it. */
export const refusedName = 'refused.test';

const protocols = Buffer.from('\x08http/1.1', 'latin1');

function quiet(link: HandleLink): Receiver {
  return { chunk: null, receive() {}, ended: () => link.destroy(), emptied() {}, closed() {} };
}

/** Sends back what comes, with back-pressure; does with its connection what it is told in between. */
function echo(link: HandleLink): Partial<Receiver> {
  return {
    receive(bytes, start, end) {
      const copy = Buffer.from(bytes.subarray(start, end));
      link.write(copy);
      if (copy.includes('destroy')) link.destroy();
      else if (copy.includes('reset')) link.reset();
      else if (copy.includes('close')) link.close();
      else if (link.isFull) link.pause();
    },
    ended: () => link.end(),
    emptied: () => link.resume(),
  };
}
