import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import type { ClientTrust } from './clienttrust.ts';
import { useDefaultContext } from './tls.ts';

/**
 * Handshakes that ask for a certificate. node:tls asks by server and not by name, and OpenSSL looks for a session to resume
 * before any name is looked at; so each trust has a server of its own, which listens nowhere and is handed its connections
 * when their first bytes have told the name.
 */
export class AskingServers {
  readonly #engine: Engine;
  readonly #listenerId: string;
  readonly #options: TlsOptions;
  readonly #onSecure: (socket: TLSSocket) => void;
  /** Goes with the trust. */
  readonly #serversByTrust = new WeakMap<ClientTrust, Server>();

  /** @param options of the listener, as for those who are not asked */
  constructor(engine: Engine, listenerId: string, options: TlsOptions, onSecure: (socket: TLSSocket) => void) {
    this.#engine = engine;
    this.#listenerId = listenerId;
    this.#options = options;
    this.#onSecure = onSecure;
  }

  for(trust: ClientTrust): Server {
    let server = this.#serversByTrust.get(trust);
    if (server === undefined) {
      server = this.#create(trust);
      this.#serversByTrust.set(trust, server);
    }
    // As the rows say now: certificates and ticket keys change.
    useDefaultContext(this.#engine, this.#listenerId, server, trust);
    return server;
  }

  #create(trust: ClientTrust): Server {
    const { tables } = this.#engine;
    const server = createServer({
      ...this.#options,
      ...trust.options,
      sessionIdContext: trust.sessionIdContext,
      requestCert: true,
      // Judged with the request, by what its host asks (clientpolicy.ts).
      rejectUnauthorized: false,
      SNICallback: (serverName, done) => {
        const context = tables.secureContext(this.#listenerId, serverName.toLowerCase(), trust);
        if (context === undefined) done(new Error('no certificate for this name'));
        else done(null, context);
      },
    });
    server.on('secureConnection', this.#onSecure);
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }
}
