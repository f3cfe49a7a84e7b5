import type { Problem } from '#table/problem.ts';
import { rowKinds } from '#table/rows.ts';
import { endedSnapshot, type MetricsSnapshot, mergeSnapshots, withoutGoneRoutes } from '../observe/metrics.ts';
import { Page } from '../observe/page.ts';
import { renderMetrics } from '../observe/prometheus.ts';
import type { Intake } from '../receive/intake.ts';
import type { ShareState } from '../share/share.ts';
import type { Crew } from './crew.ts';

export interface FiguresOptions {
  crew(): Crew;
  readonly intake: Intake;
  problems(): readonly Problem[];
  health(): readonly { readonly backendId: string; readonly probed: number; readonly healthy: number }[];
}

/** Everything that /metrics shows: the workers' counters summed, the fleet's own, and what others add. */
export class Figures {
  readonly #of: FiguresOptions;
  readonly #sources: (() => Promise<string>)[] = [];
  /** Counters of workers that ended: without them a restart would make sums go down. */
  #past: MetricsSnapshot = mergeSnapshots([]);

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
    const workers = renderMetrics(mergeSnapshots([this.#past, ...living]));
    // Shown once more; the living workers let go of them likewise.
    this.#past = withoutGoneRoutes(this.#past, (id) => {
      const { route, l4route } = this.#of.intake.table;
      return route.has(id) || l4route.has(id);
    });
    const added = await Promise.all(this.#sources.map((source) => source().catch(() => '')));
    return [workers, this.#ownText(), ...added].join('');
  }

  #ownText(): string {
    const { intake, problems, health } = this.#of;
    const crew = this.#of.crew();
    const { commit, applied, refused, table } = intake;
    const { user, system } = process.cpuUsage();
    const startSeconds = Math.round(performance.timeOrigin) / 1000;
    const page = new Page();
    page.single('sluice_workers_ready', 'gauge', 'Workers that have the tables in force and listen.', crew.readyCount);
    page.single('sluice_worker_restarts_total', 'counter', 'Workers that ended and were replaced.', crew.restarts);
    page.single('sluice_tables_applied_total', 'counter', 'Batches that came into force.', applied);
    page.single('sluice_tables_refused_total', 'counter', 'Batches that were refused.', refused);
    page.single(
      'sluice_table_generation',
      'gauge',
      "The sender's number of the table in force.",
      commit?.generation ?? 0,
    );
    page.family('sluice_table_info', 'gauge', 'Content hash of the table in force.');
    page.sample('', { hash: commit?.hash ?? '' }, 1);
    page.family('sluice_table_rows', 'gauge', 'Rows of the table in force, by kind.');
    for (const kind of rowKinds) page.sample('', { kind }, table[kind].size);
    page.family('sluice_problems', 'gauge', 'What is not honoured now, by code.');
    for (const [code, count] of countByCode(problems())) page.sample('', { code }, count);
    const probed = health();
    page.family('sluice_backend_probed_endpoints', 'gauge', 'Endpoints with a health check, by backend.');
    for (const each of probed) page.sample('', { backend: each.backendId }, each.probed);
    page.family('sluice_backend_healthy_endpoints', 'gauge', 'Those of them that are healthy.');
    for (const each of probed) page.sample('', { backend: each.backendId }, each.healthy);
    page.single('process_resident_memory_bytes', 'gauge', 'Memory of the primary.', process.memoryUsage.rss());
    page.single('process_cpu_seconds_total', 'counter', 'CPU time of the primary.', (user + system) / 1e6);
    page.single('process_start_time_seconds', 'gauge', 'Start of the primary, seconds since 1970.', startSeconds);
    return page.text();
  }
}

/** What is shared with other proxies. */
export function shareFigures({ isUp, told, heard, waiting, failures }: ShareState): string {
  const page = new Page();
  page.single('sluice_share_up', 'gauge', 'Whether state is shared with the other proxies.', isUp ? 1 : 0);
  page.single('sluice_share_told_total', 'counter', 'Entries that the other proxies were told.', told);
  page.single('sluice_share_heard_total', 'counter', 'Entries that were heard from the other proxies.', heard);
  page.single('sluice_share_waiting', 'gauge', 'Entries that could not be told yet.', waiting);
  page.single(
    'sluice_share_failures_total',
    'counter',
    'Failures of the server that state is shared through.',
    failures,
  );
  return page.text();
}

/** A worker that hangs must not make the scrape hang, ms. */
const scrapeTimeoutMs = 1_000;

function countByCode(problems: readonly Problem[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { code } of problems) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}
