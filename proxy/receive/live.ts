import type { SecureContext } from 'node:tls';
import type { Backend } from '#table/backend.ts';
import type { Listener } from '#table/listener.ts';
import type { TlsProfile } from '../forward/tlsprofile.ts';
import type { ClientPolicy } from '../listen/clientpolicy.ts';
import type { Terms } from '../listen/terms.ts';
import type { RequestFacts } from '../match/facts.ts';
import type { CompiledL4Route } from '../match/l4matcher.ts';
import type { Match } from '../match/match.ts';
import type { Circuit } from '../select/circuit.ts';
import type { BackendState } from '../select/types.ts';

/** A backend as a worker uses it. */
export interface LiveBackend {
  readonly row: Backend;
  readonly state: BackendState;
  /** How TLS is spoken to it; null: in the clear. */
  readonly tls: TlsProfile | null;
  /** No other one has it, nor had. */
  readonly serial: number;
}

/**
 * The tables in force in this worker, compiled. One object for the life of the process; a batch changes what it answers
 * between two turns of the event loop, so everything that one request asks of it within a turn is of one version.
 */
export interface LiveTables {
  /** Content hash of what is in force; '' before the first batch. */
  readonly hash: string;
  readonly listeners: ReadonlyMap<string, Listener>;
  /** By id of the host; empty while no host asks clients for certificates. */
  readonly clientPolicies: ReadonlyMap<string, ClientPolicy>;
  /** Some route is not for every client, or is closed. */
  readonly keepsOut: boolean;
  match(listenerId: string, facts: RequestFacts): Match;
  /** The L4 route of a connection or flow; null: none takes it, or a host of the listener has a narrower name. @param serverName lower case; '' without */
  matchL4(listenerId: string, serverName: string): CompiledL4Route | null;
  /** Whether L4 routes of the listener go by server name, so that connections are to be looked into. */
  hasServerNames(listenerId: string): boolean;
  backend(id: string): LiveBackend | undefined;
  /** Certificate for a server name (lower case; '' without SNI) on an https listener; undefined: refuse the handshake. */
  secureContext(listenerId: string, serverName: string, terms: Terms | null): SecureContext | undefined;
  /** What handshakes begin with, while the server name is not known; undefined: refuse them. */
  firstContext(listenerId: string, terms: Terms | null): SecureContext | undefined;
  /** Whether any host of the listener wants handshakes otherwise than it does. */
  hasTerms(listenerId: string): boolean;
  /** What the host of a server name (lower case; '' without SNI) wants; null: nothing but what the listener says. */
  terms(listenerId: string, serverName: string): Terms | null;
  /** Calls back when what trusts are made of may have changed, or no host asks any more: connections of those that are gone are to end. */
  onTrustGone(callback: () => void): void;
  /** Calls back when an endpoint (`address:port`) left every backend: its idle connections are to be closed. */
  onEndpointGone(callback: (key: string) => void): void;
  /** Calls back when no backend uses a profile any more: its idle connections are to be closed. */
  onTlsGone(callback: (profile: TlsProfile) => void): void;
  /** Calls back when a backend is gone: connections that were counted for it alone are to be closed. */
  onCircuitGone(callback: (circuit: Circuit) => void): void;
  /** Calls back after listener rows changed. */
  onListenersChanged(callback: () => void): void;
}
