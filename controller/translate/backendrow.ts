import type { Backend } from '#table/backend.ts';
import type { Source } from '#table/problem.ts';
import type { TranslateOptions } from './options.ts';

/** The row of a backend that answers instead of forwarding. */
export function brokenBackend(
  options: TranslateOptions,
  id: string,
  source: Source,
  service: Backend['service'],
  broken: Backend['broken'],
): Backend {
  return {
    id,
    source,
    service,
    broken,
    protocol: 'http',
    tls: null,
    balance: options.balance,
    affinity: null,
    slowStartMs: 0,
    outlier: options.outlier,
    healthCheck: null,
    panicPercent: options.panicPercent,
    circuit: options.circuit,
    keepAlive: options.keepAlive,
    prefer: 'any',
  };
}
