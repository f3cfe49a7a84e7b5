import type { Connection } from '../listen/connection.ts';
import type { HalfOpen } from '../listen/halfopen.ts';
import type { Limits } from '../listen/limits.ts';
import type { Pressure } from '../listen/pressure.ts';
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
  /** Compressors in use, and what they take. */
  readonly encoders: { open: number; bytes: number };
  /** Connections end with the answer that they wait for: the gateway is to end, or memory is short. */
  readonly isDraining: boolean;
  /** The time for that is over: what is still open is cut off. */
  readonly isOver: boolean;
  readonly pressure: Pressure;
  readonly halfOpen: HalfOpen;
  /** The life of a request, from its parsed head on. */
  run(exchange: Exchange): void;
  connectionClosed(connection: Connection): void;
}
