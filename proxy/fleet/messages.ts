import type { Listener } from '#table/listener.ts';
import type { Limits } from '../listen/limits.ts';
import type { WorkerLoad } from '../listen/spreading.ts';
import type { MetricsSnapshot, WorkerDoings } from '../observe/metrics.ts';
import type { Delta } from '../receive/changes.ts';
import type { EndpointLook } from '../select/endpoint.ts';
import type { AffinityEntry } from '../share/affinity.ts';

/** What every worker of a fleet is started with. */
export interface WorkerStart {
  readonly limits: Limits;
  readonly zone: string | null;
  readonly node: string | null;
  /** `off`, `stdout` or the path of a file. */
  readonly accessLog: string;
  /** Whose metrics are shown beside ours. */
  readonly metricsCompat: 'none' | 'ingress-nginx';
}

/** Health of an endpoint for a backend, as the primary's probes see it. */
export interface HealthWord {
  readonly key: string;
  readonly backendId: string;
  readonly isHealthy: boolean;
}

/** Asked by the primary; each is answered once, in order of asking. */
export type Ask =
  | { readonly type: 'start'; readonly start: WorkerStart }
  /** Everything at once between two turns of the worker's event loop, the rows of the parts that were told before included. */
  | { readonly type: 'apply'; readonly delta: Delta; readonly hash: string }
  /** Comes with the worker's own socket. `part` counts the addresses of a listener. */
  | { readonly type: 'listen'; readonly listener: Listener; readonly part: number }
  | { readonly type: 'unlisten'; readonly listenerId: string }
  | { readonly type: 'metrics' }
  /** For the pages of the proxy; endpoints of one backend, '' for none. */
  | { readonly type: 'look'; readonly backendId: string }
  /** Whether it answers, and what it has to do. */
  | { readonly type: 'ping' };

/** What a worker shows of itself. */
export interface WorkerLook extends WorkerDoings {
  readonly endpoints: readonly EndpointLook[];
}

/** Told by the primary; no answer. */
export type Tell =
  /** Rows of the `apply` that follows: a message is held by both sides as bytes and as what they say, so none is large. */
  | { readonly type: 'part'; readonly upserts: Delta['upserts'] }
  | { readonly type: 'affinity'; readonly entries: readonly AffinityEntry[] }
  | { readonly type: 'health'; readonly words: readonly HealthWord[] }
  | { readonly type: 'reopen' }
  /** So many connections are to find another worker. */
  | { readonly type: 'spread'; readonly connections: number }
  /** Finish what is in flight within graceMs, then exit. */
  | { readonly type: 'drain'; readonly graceMs: number };

export type ToWorker = (Ask & { readonly sequence: number }) | Tell;

export type FromWorker =
  | {
      readonly type: 'done';
      readonly sequence: number;
      readonly snapshot?: MetricsSnapshot;
      readonly look?: WorkerLook;
      readonly load?: WorkerLoad;
    }
  /** The question could not be answered; the message holds no secret. */
  | { readonly type: 'failed'; readonly sequence: number; readonly message: string }
  | { readonly type: 'affinity'; readonly entries: readonly AffinityEntry[] }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: object;
      readonly message: string;
    };
