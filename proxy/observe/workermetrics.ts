import type { EjectionReason } from '../select/outlier.ts';
import type { CompatMetrics } from './compatmetrics.ts';
import { responseFlags } from './flags.ts';
import { FlowMetrics } from './flowmetrics.ts';
import {
  bucketBounds,
  circuitLimits,
  ejectionReasons,
  type MetricsSnapshot,
  noneTurnedAway,
  retryRefusals,
  seriesLayout,
  totalsLayout,
  type WorkerDoings,
} from './metrics.ts';
import {
  countedStatus,
  type ExchangeRecord,
  type FlowRecord,
  type HandshakeFault,
  handshakeFaults,
  type Observer,
  type ResponseFlag,
  type TurnAwayReason,
} from './record.ts';
import { RouteSeries } from './routeseries.ts';
import { tableOf } from './series.ts';

interface Sinks {
  readonly accessLog: { readonly droppedLines: number };
  readonly spans: { readonly exported: number; readonly dropped: number };
}

/** Counters of one worker. Per request a few additions in typed arrays; a series is made at its first request only. */
export class WorkerMetrics implements Observer {
  readonly #totals = new Float64Array(totalsLayout.size);
  #inFlight = 0;
  readonly #turnedAway = noneTurnedAway();
  readonly #listenersById = new Map<string, { open: number; opened: number }>();
  readonly #routes = new RouteSeries();
  readonly #flows = new FlowMetrics();
  readonly #sinks: Sinks;
  readonly #compat: CompatMetrics | null;

  /**
   * @param sinks of the same worker, which count what they could not write or send
   * @param compat null: nobody wants the series of ingress-nginx
   */
  constructor(sinks: Sinks, compat: CompatMetrics | null = null) {
    this.#sinks = sinks;
    this.#compat = compat;
  }

  requestStarted(): void {
    this.#inFlight++;
  }

  finished(record: ExchangeRecord): void {
    this.#inFlight--;
    const totals = this.#totals;
    const statusClass = classOf(countedStatus(record));
    const seconds = Math.max(0, record.durationMs) / 1000;
    bump(totals, totalsLayout.classes + statusClass, 1);
    bump(totals, totalsLayout.flags + (flagPlaces.get(record.flag) ?? 0), 1);
    this.#observe(totalsLayout.duration, seconds);
    if (record.upstreamMs >= 0) this.#observe(totalsLayout.upstream, record.upstreamMs / 1000);
    bump(totals, totalsLayout.bytesReceived, record.bytesReceived);
    bump(totals, totalsLayout.bytesSent, record.bytesSent);
    if (record.tries > 1) bump(totals, totalsLayout.retries, record.tries - 1);
    if (record.retryRefusal !== '') {
      bump(totals, totalsLayout.retryRefusals + retryRefusals.indexOf(record.retryRefusal), 1);
    }
    if (record.overflow !== '') bump(totals, totalsLayout.overflows + circuitLimits.indexOf(record.overflow), 1);
    if (this.#compat !== null) this.#compat.finished(record);
    if (record.routeIndex < 0) return;
    const routes = this.#routes;
    routes.find(record);
    const { values, at } = routes;
    bump(values, at + seriesLayout.classes + statusClass, 1);
    bump(values, at + seriesLayout.durationSeconds, seconds);
    bump(values, at + seriesLayout.bytesSent, record.bytesSent);
    if (record.bytesReceived > 0) bump(values, at + seriesLayout.bytesReceived, record.bytesReceived);
    if (record.tries > 1) bump(values, at + seriesLayout.retries, record.tries - 1);
    if (record.overflow !== '') bump(values, at + seriesLayout.overflows, 1);
  }

  ejected(reason: EjectionReason): void {
    bump(this.#totals, totalsLayout.ejections + ejectionReasons.indexOf(reason), 1);
  }

  ejectionWithheld(reason: EjectionReason): void {
    bump(this.#totals, totalsLayout.withheld + ejectionReasons.indexOf(reason), 1);
  }

  flowEnded(record: FlowRecord): void {
    this.#flows.ended(record);
  }

  datagramDropped(): void {
    this.#flows.dropped++;
  }

  connectionOpened(listenerId: string): void {
    const listener = this.#listenersById.get(listenerId);
    if (listener) {
      listener.open++;
      listener.opened++;
    } else {
      this.#listenersById.set(listenerId, { open: 1, opened: 1 });
    }
  }

  connectionClosed(listenerId: string): void {
    const listener = this.#listenersById.get(listenerId);
    if (listener) listener.open--;
  }

  connectionTurnedAway(reason: TurnAwayReason): void {
    this.#turnedAway[reason]++;
  }

  handshakeFailed(fault: HandshakeFault): void {
    bump(this.#totals, totalsLayout.handshakes + handshakeFaults.indexOf(fault), 1);
  }

  snapshot(): MetricsSnapshot {
    return {
      totals: this.#totals.slice(),
      droppedLogLines: this.#sinks.accessLog.droppedLines,
      spans: { exported: this.#sinks.spans.exported, dropped: this.#sinks.spans.dropped },
      ...this.doings(),
      flows: this.#flows.snapshot(),
      compat: this.#compat?.snapshot() ?? [],
      ...tableOf(this.#routes.all(), seriesLayout.size),
    };
  }

  doings(): WorkerDoings {
    return {
      inFlight: this.#inFlight,
      turnedAway: { ...this.#turnedAway },
      listeners: [...this.#listenersById].map(([listenerId, counts]) => ({ listenerId, ...counts })),
    };
  }

  /** Drops the series of routes that are gone. Called after a snapshot, which has shown them once more. */
  letGo(hasRoute: (routeId: string) => boolean): void {
    this.#flows.letGo(hasRoute);
    this.#compat?.letGo(hasRoute);
    this.#routes.letGo(hasRoute);
  }

  #observe(histogramAt: number, seconds: number): void {
    let bucket = 0;
    while (bucket < bucketBounds.length && seconds > (bucketBounds[bucket] as number)) bucket++;
    bump(this.#totals, histogramAt + bucket, 1);
    bump(this.#totals, histogramAt + bucketBounds.length + 1, seconds);
  }
}

const flagPlaces = new Map<ResponseFlag, number>(responseFlags.map((flag, place) => [flag, place]));

function bump(values: Float64Array, place: number, by: number): void {
  values[place] = (values[place] as number) + by;
}

/** Place among statusClasses. */
function classOf(status: number): number {
  return status >= 100 && status < 600 ? Math.floor(status / 100) - 1 : 5;
}
