import { exposition } from '#kit/exposition.ts';
import type { Problem } from '#table/problem.ts';
import { rowKinds } from '#table/rows.ts';
import { compatFigures } from '../observe/compatfigures.ts';
import { endedSnapshot, type MetricsSnapshot, mergeSnapshots, withoutGoneRoutes } from '../observe/metrics.ts';
import { processFigures } from '../observe/processfigures.ts';
import { renderMetrics } from '../observe/prometheus.ts';
import type { Intake } from '../receive/intake.ts';
import type { ShareState } from '../share/share.ts';
import type { Crew } from './crew.ts';
import { fleetFamilies, shareFamilies } from './families.ts';

const show = exposition(fleetFamilies);

export interface FiguresOptions {
  crew(): Crew;
  readonly intake: Intake;
  /** Under which name the series of ingress-nginx are shown; null: they are not. */
  readonly compatPod: string | null;
  problems(): readonly Problem[];
  health(): readonly { readonly backendId: string; readonly probed: number; readonly healthy: number }[];
}

/** Everything that /metrics shows: the workers' counters summed, the fleet's own, and what others add. */
export class Figures {
  readonly #of: FiguresOptions;
  readonly #sources: (() => Promise<string>)[] = [];
  /** Counters of workers that ended: without them a restart would make sums go down. */
  #past: MetricsSnapshot = mergeSnapshots([]);
  /** Listeners that are gone, and were shown once more when the last connection had ended: with all that they had counted. */
  readonly #shownLast = new Set<string>();

  constructor(options: FiguresOptions) {
    this.#of = options;
  }

  remember(snapshot: MetricsSnapshot): void {
    this.#past = mergeSnapshots([this.#past, endedSnapshot(snapshot)]);
  }

  add(source: () => Promise<string>): void {
    this.#sources.push(source);
  }

  async text(): Promise<string> {
    const living = await this.#of.crew().metrics(scrapeTimeoutMs);
    const { compatPod } = this.#of;
    const sum = this.#withoutGoneListeners(mergeSnapshots([this.#past, ...living]));
    const workers = renderMetrics(sum) + (compatPod === null ? '' : compatFigures(sum.compat, compatPod));
    // Shown once more; the living workers let go of them likewise.
    this.#past = withoutGoneRoutes(this.#past, (id) => {
      const { route, l4route } = this.#of.intake.table;
      return route.has(id) || l4route.has(id);
    });
    const added = await Promise.all(this.#sources.map((source) => source().catch(() => '')));
    return [workers, this.#ownText(), ...added].join('');
  }

  /**
   * Not shown any more; their counts are kept, here and in the workers, for there are no more of them than ports: one that comes
   * back goes on, where a count that began anew in some of the workers would go down in the sum.
   */
  #withoutGoneListeners(sum: MetricsSnapshot): MetricsSnapshot {
    const { listener } = this.#of.intake.table;
    const listeners = sum.listeners.filter(({ listenerId, open }) => {
      if (open > 0 || listener.has(listenerId)) {
        this.#shownLast.delete(listenerId);
        return true;
      }
      if (this.#shownLast.has(listenerId)) return false;
      this.#shownLast.add(listenerId);
      return true;
    });
    return { ...sum, listeners };
  }

  #ownText(): string {
    const { intake, problems, health } = this.#of;
    const crew = this.#of.crew();
    const { commit, applied, refused, table } = intake;
    const probed = health();
    return [
      show.single('sluice_workers_ready', crew.readyCount),
      show.single('sluice_worker_restarts_total', crew.restarts),
      show.single('sluice_tables_applied_total', applied),
      show.single('sluice_tables_refused_total', refused),
      show.single('sluice_table_generation', commit?.generation ?? 0),
      show.rows('sluice_table_info', [[{ hash: commit?.hash ?? '' }, 1]]),
      show.rows(
        'sluice_table_rows',
        rowKinds.map((kind) => [{ kind }, table[kind].size]),
      ),
      show.rows(
        'sluice_problems',
        Map.groupBy(problems(), ({ code }) => code)
          .entries()
          .map(([code, of]) => [{ code }, of.length] as const),
      ),
      show.rows(
        'sluice_certificate_not_after_seconds',
        table.certificate
          .values()
          .flatMap(({ source, notAfterMs }) =>
            source.kind === 'Secret'
              ? [[{ namespace: source.namespace, name: source.name }, notAfterMs / 1_000] as const]
              : [],
          ),
      ),
      show.rows(
        'sluice_backend_probed_endpoints',
        probed.map(({ backendId, probed }) => [{ backend: backendId }, probed]),
      ),
      show.rows(
        'sluice_backend_healthy_endpoints',
        probed.map(({ backendId, healthy }) => [{ backend: backendId }, healthy]),
      ),
      processFigures(),
    ].join('');
  }
}

/** What is shared with other proxies. */
export function shareFigures({ isUp, told, heard, waiting, failures }: ShareState): string {
  const share = exposition(shareFamilies);
  return [
    share.single('sluice_share_up', isUp ? 1 : 0),
    share.single('sluice_share_told_total', told),
    share.single('sluice_share_heard_total', heard),
    share.single('sluice_share_waiting', waiting),
    share.single('sluice_share_failures_total', failures),
  ].join('');
}

/** A worker that hangs must not make the scrape hang, ms. */
const scrapeTimeoutMs = 1_000;
