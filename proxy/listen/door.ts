import type { Listener } from '#table/listener.ts';
import type { Tracing } from '#table/tracing.ts';
import { type CompiledCompression, compileCompression } from '../filters/compression.ts';
import { rangeTest } from '../match/ranges.ts';
import type { Limits } from './limits.ts';
import { withoutZeroes } from './withoutzeroes.ts';

/** What connections need to know of the listener that they came through. */
export interface Door {
  readonly listenerId: string;
  readonly isTls: boolean;
  /** Clients speak HTTP in the clear, so that one who is turned away can be told. */
  readonly isHttp: boolean;
  readonly scheme: 'http' | 'https';
  /** For X-Forwarded-Port. */
  readonly publicPort: number;
  readonly hsts: string | null;
  readonly compression: CompiledCompression | null;
  readonly tracing: Tracing | null;
  readonly http2: boolean;
  /** The worker's, with what the listener has of its own. */
  readonly limits: Limits;
  isTrusted(address: string): boolean;
  /** PROXY headers that every connection begins with; null: none. */
  readonly proxy: { isSource(address: string): boolean; readonly timeoutMs: number } | null;
}

/**
 * @param port the bound one
 * @param limits of the worker
 */
export function doorOf(listener: Listener, port: number, limits: Limits): Door {
  const isTls = listener.protocol === 'https';
  return {
    listenerId: listener.id,
    isTls,
    isHttp: listener.protocol === 'http',
    scheme: isTls ? 'https' : 'http',
    publicPort: listener.publicPort ?? port,
    hsts: isTls ? listener.hsts : null,
    compression: listener.compression === null ? null : compileCompression(listener.compression),
    tracing: listener.tracing,
    http2: listener.http2,
    limits: limitsOf(listener, limits),
    isTrusted: rangeTest(listener.trustedProxies),
    proxy:
      listener.proxyProtocol === null
        ? null
        : { isSource: rangeTest(listener.proxyProtocol.sources), timeoutMs: listener.proxyProtocol.timeoutMs },
  };
}

function limitsOf({ clients }: Listener, limits: Limits): Limits {
  return withoutZeroes({
    ...limits,
    idleMs: clients.idleMs ?? limits.idleMs,
    headMs: clients.headMs ?? limits.headMs,
    bodyIdleMs: clients.bodyIdleMs ?? limits.bodyIdleMs,
    requestsPerConnection: clients.requests ?? limits.requestsPerConnection,
    streams: clients.streams ?? limits.streams,
  });
}
