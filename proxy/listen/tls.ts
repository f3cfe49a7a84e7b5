import type { Server } from 'node:net';
import type tls from 'node:tls';
import type { Listener } from '#table/listener.ts';
import type { Engine } from '../forward/engine.ts';
import { serverOptions, sessionIdContext } from './certificates.ts';
import type { Terms } from './terms.ts';

/** TLS settings of an https listener: the certificate is chosen per handshake from the tables in force. */
export function tlsOptions(engine: Engine, listener: Listener): tls.TlsOptions {
  return {
    // As the row says at the moment of the handshake. undefined: no protocol in common, and an alert that says so.
    ALPNCallback({ protocols }) {
      const mayBeH2 = engine.tables.listeners.get(listener.id)?.http2 ?? listener.http2;
      if (mayBeH2 && protocols.includes('h2')) return 'h2';
      return protocols.includes('http/1.1') ? 'http/1.1' : undefined;
    },
    ...(listener.tls === null ? {} : serverOptions(listener.tls)),
    sessionIdContext,
    ...(engine.tables.ticketKeys === null ? {} : { ticketKeys: engine.tables.ticketKeys }),
    // Must not throw and must not wait: it runs inside the handshake (CVE-2026-21637).
    SNICallback(serverName, done) {
      const context = engine.tables.secureContext(listener.id, serverName.toLowerCase(), null);
      if (context === undefined) done(new Error('no certificate for this name'));
      else done(null, context);
    },
  };
}

/** Where node:tls keeps the context of handshakes without a server name; it asks SNICallback only when there is one. */
interface DefaultContext {
  _sharedCreds: tls.SecureContext;
}

/**
 * Rows changed: handshakes from now on use the new keys and the new default certificate.
 *
 * @param terms that the server is for; null: those of the listener
 */
export function useDefaultContext(engine: Engine, listenerId: string, server: Server, terms: Terms | null): void {
  const context = engine.tables.secureContext(listenerId, '', terms);
  if (context !== undefined) (server as unknown as DefaultContext)._sharedCreds = context;
  else if (engine.tables.ticketKeys !== null) (server as tls.Server).setTicketKeys(engine.tables.ticketKeys);
}
