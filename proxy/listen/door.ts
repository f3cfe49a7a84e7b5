import type { Listener } from '#table/listener.ts';
import { type CompiledCompression, compileCompression } from '../filters/compression.ts';
import { trustOf } from './forwarded.ts';

/** What connections need to know of the listener that they came through. */
export interface Door {
  readonly listenerId: string;
  readonly isTls: boolean;
  readonly scheme: 'http' | 'https';
  /** For X-Forwarded-Port. */
  readonly publicPort: number;
  readonly hsts: string | null;
  readonly compression: CompiledCompression | null;
  readonly http2: boolean;
  isTrusted(address: string): boolean;
}

/** @param port the bound one */
export function doorOf(listener: Listener, port: number): Door {
  const isTls = listener.protocol === 'https';
  return {
    listenerId: listener.id,
    isTls,
    scheme: isTls ? 'https' : 'http',
    publicPort: listener.publicPort ?? port,
    hsts: isTls ? listener.hsts : null,
    compression: listener.compression === null ? null : compileCompression(listener.compression),
    http2: listener.http2,
    isTrusted: trustOf(listener.trustedProxies),
  };
}
