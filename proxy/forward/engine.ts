import type { Connection } from '../listen/connection.ts';
import type { Limits } from '../listen/limits.ts';
import type { Observer } from '../observe/record.ts';
import type { LiveTables } from '../receive/live.ts';
import type { RetryBudget } from './budget.ts';
import type { Exchange } from './exchange.ts';
import type { Pools } from './pools.ts';

/** What the connections of a worker share. The Gateway is one. */
export interface Engine {
  readonly tables: LiveTables;
  readonly observer: Observer;
  readonly limits: Limits;
  readonly pools: Pools;
  readonly budget: RetryBudget;
  /** Compressors in use. */
  readonly encoders: { open: number };
  /** Answers say `Connection: close` from now on. */
  readonly isDraining: boolean;
  /** The life of a request, from its parsed head on. */
  run(exchange: Exchange): void;
  connectionClosed(connection: Connection): void;
}
