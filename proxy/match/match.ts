import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { CompiledFilters } from '../filters/compiled.ts';
import type { Weighted } from './weighted.ts';

/** A route with everything that the request's other steps need, compiled once per change of its row. */
export interface CompiledRoute {
  readonly row: Route;
  /** What every request needs of the row, here, because each object more is memory that no cache holds (100,000 routes). */
  readonly id: string;
  readonly timeouts: Route['timeouts'];
  readonly bodyLimit: number | null;
  /** Dense number, stable while the row's id lives in this process: index into metric arrays. */
  readonly index: number;
  /** No other route has it, nor had; of one whose row changes it is a new one. */
  readonly serial: number;
  readonly filters: CompiledFilters;
  readonly backends: readonly WeightedBackend[];
}

export interface WeightedBackend extends Weighted {
  readonly backendId: string;
  readonly filters: CompiledFilters;
}

/** Outcome of matching. `host` is set when a host row covers the name though no route accepts. */
export interface Match {
  readonly route: CompiledRoute | null;
  readonly host: Host | null;
}
