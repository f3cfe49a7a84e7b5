import { responseFlags } from './flags.ts';
import type { FlowRecord } from './record.ts';
import { addInto, mergeTables, type Series, type SeriesTable, seriesName, tableOf, withoutGone } from './series.ts';

/** Places of one series of flows. */
export const flowLayout = { ended: 0, durationSeconds: 1, bytesReceived: 2, bytesSent: 3, size: 4 } as const;

/** What a worker has counted of flows, as plain data that can be sent to another process. */
export interface FlowSnapshot extends SeriesTable {
  /** Flows that ended, in the order of responseFlags. */
  readonly flags: Float64Array;
  readonly retries: number;
  readonly droppedDatagrams: number;
}

/** Counters of the flows of one worker: a few additions when a flow ends. */
export class FlowMetrics {
  readonly #flags = new Float64Array(responseFlags.length);
  #retries = 0;
  /** Datagrams that were thrown away. */
  dropped = 0;
  /** By route id, then by backend id. */
  readonly #seriesByRoute = new Map<string, Map<string, Series>>();

  ended(record: FlowRecord): void {
    const flag = responseFlags.indexOf(record.flag);
    this.#flags[flag] = (this.#flags[flag] ?? 0) + 1;
    if (record.tries > 1) this.#retries += record.tries - 1;
    if (record.routeId === '') return;
    const { values } = this.#seriesOf(record);
    addInto(values, Float64Array.of(1, Math.max(0, record.durationMs) / 1000, record.bytesReceived, record.bytesSent));
  }

  snapshot(): FlowSnapshot {
    const all = [...this.#seriesByRoute.values()].flatMap((byBackend) => [...byBackend.values()]);
    return {
      flags: this.#flags.slice(),
      retries: this.#retries,
      droppedDatagrams: this.dropped,
      ...tableOf(all, flowLayout.size),
    };
  }

  letGo(hasRoute: (routeId: string) => boolean): void {
    for (const routeId of this.#seriesByRoute.keys()) if (!hasRoute(routeId)) this.#seriesByRoute.delete(routeId);
  }

  #seriesOf(record: FlowRecord): Series {
    let byBackend = this.#seriesByRoute.get(record.routeId);
    if (byBackend === undefined) {
      byBackend = new Map();
      this.#seriesByRoute.set(record.routeId, byBackend);
    }
    let series = byBackend.get(record.backendId);
    if (series === undefined) {
      series = { name: seriesName(record), values: new Float64Array(flowLayout.size) };
      byBackend.set(record.backendId, series);
    }
    return series;
  }
}

export function mergeFlows(snapshots: readonly FlowSnapshot[]): FlowSnapshot {
  const flags = new Float64Array(responseFlags.length);
  let retries = 0;
  let droppedDatagrams = 0;
  for (const snapshot of snapshots) {
    addInto(flags, snapshot.flags);
    retries += snapshot.retries;
    droppedDatagrams += snapshot.droppedDatagrams;
  }
  return { flags, retries, droppedDatagrams, ...mergeTables(snapshots, flowLayout.size) };
}

export function withoutGoneFlows(snapshot: FlowSnapshot, hasRoute: (routeId: string) => boolean): FlowSnapshot {
  return { ...snapshot, ...withoutGone(snapshot, flowLayout.size, hasRoute) };
}
