import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import type { Terms } from './terms.ts';
import { useDefaultContext } from './tls.ts';

/**
 * TLS servers for hosts that have terms of their own. node:tls asks for certificates by server and not by name, takes suites from
 * the context that a handshake begins with, and OpenSSL looks for a session to resume before any name is looked at; so each
 * terms have a server of their own, which listens nowhere and is handed its connections when their first bytes have told the
 * name.
 */
export class TermsServers {
  readonly #engine: Engine;
  readonly #listenerId: string;
  readonly #options: TlsOptions;
  readonly #onSecure: (socket: TLSSocket) => void;
  /** Each goes with its terms. */
  readonly #serversByTerms = new WeakMap<Terms, Server>();

  /** @param options of the listener */
  constructor(engine: Engine, listenerId: string, options: TlsOptions, onSecure: (socket: TLSSocket) => void) {
    this.#engine = engine;
    this.#listenerId = listenerId;
    this.#options = options;
    this.#onSecure = onSecure;
  }

  for(terms: Terms): Server {
    let server = this.#serversByTerms.get(terms);
    if (server === undefined) {
      server = this.#create(terms);
      this.#serversByTerms.set(terms, server);
    }
    // As the rows say now: certificates and ticket keys change.
    useDefaultContext(this.#engine, this.#listenerId, server, terms);
    return server;
  }

  #create(terms: Terms): Server {
    const { tables } = this.#engine;
    const server = createServer({
      ...this.#options,
      ...terms.options,
      sessionIdContext: terms.sessionIdContext,
      requestCert: terms.trust !== null,
      // Judged with the request, by what its host asks (clientpolicy.ts).
      rejectUnauthorized: false,
      SNICallback: (serverName, done) => {
        const context = tables.secureContext(this.#listenerId, serverName.toLowerCase(), terms);
        if (context === undefined) done(new Error('no certificate for this name'));
        else done(null, context);
      },
    });
    server.on('secureConnection', this.#onSecure);
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }
}
