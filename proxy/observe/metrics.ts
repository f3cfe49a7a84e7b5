import type { CircuitLimit } from '../select/circuit.ts';
import type { EjectionReason } from '../select/outlier.ts';
import { type CompatSeries, isGone, mergeCompat } from './compatmetrics.ts';
import { responseFlags } from './flags.ts';
import { type FlowSnapshot, mergeFlows, withoutGoneFlows } from './flowmetrics.ts';
import { handshakeFaults, type RetryRefusal, type TurnAwayReason, turnAwayReasons } from './record.ts';
import { addInto, mergeTables, type SeriesTable, withoutGone } from './series.ts';

/** Upper bounds of the histogram buckets, seconds; one more bucket holds the rest. */
export const bucketBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** What a status is counted as; the last is a request that ended without a status. */
export const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx', 'none'] as const;

/** Every reason to leave an endpoint out, in the order in which they are counted. */
export const ejectionReasons = [
  'server-errors',
  'gateway-errors',
  'local-failures',
  'success-rate',
] as const satisfies readonly EjectionReason[];

/** Every reason not to try again, in the order in which they are counted. */
export const retryRefusals = [
  'unsafe',
  'body',
  'tries',
  'time',
  'budget',
  'limit',
  'endpoint',
] as const satisfies readonly RetryRefusal[];

/** Every limit of a backend, in the order in which requests that ran into it are counted. */
export const circuitLimits = [
  'connections',
  'pending',
  'requests',
  'retries',
] as const satisfies readonly CircuitLimit[];

/** Places of a snapshot's `totals`. A histogram is its buckets (not summed up), then the sum in seconds. */
const histogramSize = bucketBounds.length + 2;
const flagsAt = statusClasses.length;
const durationAt = flagsAt + responseFlags.length;
const upstreamAt = durationAt + histogramSize;
const bytesReceivedAt = upstreamAt + histogramSize;
const ejectionsAt = bytesReceivedAt + 3;
const withheldAt = ejectionsAt + ejectionReasons.length;
const retryRefusalsAt = withheldAt + ejectionReasons.length;
const overflowsAt = retryRefusalsAt + retryRefusals.length;
const handshakesAt = overflowsAt + circuitLimits.length;
export const totalsLayout = {
  classes: 0,
  flags: flagsAt,
  duration: durationAt,
  upstream: upstreamAt,
  bytesReceived: bytesReceivedAt,
  bytesSent: bytesReceivedAt + 1,
  retries: bytesReceivedAt + 2,
  ejections: ejectionsAt,
  withheld: withheldAt,
  retryRefusals: retryRefusalsAt,
  overflows: overflowsAt,
  handshakes: handshakesAt,
  size: handshakesAt + handshakeFaults.length,
} as const;

/** Places of one route's values. What every request adds to stands together (routeseries.ts). */
export const seriesLayout = {
  durationSeconds: 0,
  bytesSent: 1,
  classes: 2,
  bytesReceived: 2 + statusClasses.length,
  retries: 3 + statusClasses.length,
  overflows: 4 + statusClasses.length,
  size: 5 + statusClasses.length,
} as const;

/** What a worker is about, and whom it has turned away. */
export interface WorkerDoings {
  /** Requests. */
  readonly inFlight: number;
  /** Connections that were turned away. */
  readonly turnedAway: Readonly<Record<TurnAwayReason, number>>;
  readonly listeners: readonly { readonly listenerId: string; readonly open: number; readonly opened: number }[];
}

/** All that a worker has counted, as plain data that can be sent to another process. */
export interface MetricsSnapshot extends SeriesTable, WorkerDoings {
  readonly totals: Float64Array;
  /** Lines that the access log could not write. */
  readonly droppedLogLines: number;
  readonly spans: { readonly exported: number; readonly dropped: number };
  readonly flows: FlowSnapshot;
  /** Empty without --metrics-compat. */
  readonly compat: readonly CompatSeries[];
}

export function noneTurnedAway(): Record<TurnAwayReason, number> {
  return { full: 0, handshakes: 0, source: 0, offender: 0, overload: 0, memory: 0 };
}

/** Sums snapshots of several workers. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const totals = new Float64Array(totalsLayout.size);
  const listenersById = new Map<string, { listenerId: string; open: number; opened: number }>();
  let inFlight = 0;
  let droppedLogLines = 0;
  const spans = { exported: 0, dropped: 0 };
  const turnedAway = noneTurnedAway();
  for (const snapshot of snapshots) {
    addInto(totals, snapshot.totals);
    inFlight += snapshot.inFlight;
    droppedLogLines += snapshot.droppedLogLines;
    spans.exported += snapshot.spans.exported;
    spans.dropped += snapshot.spans.dropped;
    for (const reason of turnAwayReasons) turnedAway[reason] += snapshot.turnedAway[reason];
    for (const { listenerId, open, opened } of snapshot.listeners) {
      const known = listenersById.get(listenerId);
      if (known) {
        known.open += open;
        known.opened += opened;
      } else {
        listenersById.set(listenerId, { listenerId, open, opened });
      }
    }
  }
  return {
    totals,
    inFlight,
    droppedLogLines,
    spans,
    turnedAway,
    listeners: [...listenersById.values()],
    flows: mergeFlows(snapshots.map(({ flows }) => flows)),
    compat: mergeCompat(snapshots.flatMap(({ compat }) => compat)),
    ...mergeTables(snapshots, seriesLayout.size),
  };
}

/**
 * What is left of a worker that ended: its counts, without which a sum would go down and look like a restart; nothing is
 * open or in flight there any more.
 */
export function endedSnapshot(snapshot: MetricsSnapshot): MetricsSnapshot {
  return { ...snapshot, inFlight: 0, listeners: snapshot.listeners.map((listener) => ({ ...listener, open: 0 })) };
}

/** Leaves out series of routes that are gone. To be used after they were shown once more, so that their last counts are seen. */
export function withoutGoneRoutes(snapshot: MetricsSnapshot, hasRoute: (routeId: string) => boolean): MetricsSnapshot {
  return {
    ...snapshot,
    flows: withoutGoneFlows(snapshot.flows, hasRoute),
    compat: snapshot.compat.filter((series) => !isGone(series, hasRoute)),
    ...withoutGone(snapshot, seriesLayout.size, hasRoute),
  };
}
