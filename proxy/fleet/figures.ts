import type { Problem } from '#table/problem.ts';
import { rowKinds } from '#table/rows.ts';
import { endedSnapshot, type MetricsSnapshot, mergeSnapshots, withoutGoneRoutes } from '../observe/metrics.ts';
import { renderMetrics } from '../observe/prometheus.ts';
import type { Intake } from '../receive/intake.ts';
import type { Crew } from './crew.ts';

/** Everything that /metrics shows: the workers' counters summed, the fleet's own, and what others add. */
export class Figures {
  readonly #crew: () => Crew;
  readonly #intake: Intake;
  readonly #problems: () => readonly Problem[];
  readonly #sources: (() => Promise<string>)[] = [];
  /** Counters of workers that ended: without them a restart would make sums go down. */
  #past: MetricsSnapshot = mergeSnapshots([]);

  constructor(crew: () => Crew, intake: Intake, problems: () => readonly Problem[]) {
    this.#crew = crew;
    this.#intake = intake;
    this.#problems = problems;
  }

  remember(snapshot: MetricsSnapshot): void {
    this.#past = mergeSnapshots([this.#past, endedSnapshot(snapshot)]);
  }

  add(source: () => Promise<string>): void {
    this.#sources.push(source);
  }

  async text(): Promise<string> {
    const living = await this.#crew().metrics(scrapeTimeoutMs);
    const workers = renderMetrics(mergeSnapshots([this.#past, ...living]));
    // Shown once more; the living workers let go of them likewise.
    this.#past = withoutGoneRoutes(this.#past, (id) => this.#intake.table.route.has(id));
    const added = await Promise.all(this.#sources.map((source) => source().catch(() => '')));
    return [workers, this.#ownText(), ...added].join('');
  }

  #ownText(): string {
    const crew = this.#crew();
    const { commit, applied, refused, table } = this.#intake;
    const { user, system } = process.cpuUsage();
    const startSeconds = (performance.timeOrigin / 1000).toFixed(3);
    return [
      family('sluice_workers_ready', 'gauge', 'Workers that have the tables in force and listen.', crew.readyCount),
      family('sluice_worker_restarts_total', 'counter', 'Workers that ended and were replaced.', crew.restarts),
      family('sluice_tables_applied_total', 'counter', 'Batches that came into force.', applied),
      family('sluice_tables_refused_total', 'counter', 'Batches that were refused.', refused),
      family('sluice_table_generation', 'gauge', "The sender's number of the table in force.", commit?.generation ?? 0),
      family('sluice_table_info', 'gauge', 'Content hash of the table in force.', 1, `{hash="${commit?.hash ?? ''}"}`),
      labelled(
        'sluice_table_rows',
        'Rows of the table in force, by kind.',
        'kind',
        rowKinds.map((kind) => [kind, table[kind].size]),
      ),
      labelled('sluice_problems', 'What is not honoured now, by code.', 'code', countByCode(this.#problems())),
      family('process_resident_memory_bytes', 'gauge', 'Memory of the primary.', process.memoryUsage.rss()),
      family('process_cpu_seconds_total', 'counter', 'CPU time of the primary.', (user + system) / 1e6),
      family('process_start_time_seconds', 'gauge', 'Start of the primary, seconds since 1970.', startSeconds),
    ].join('');
  }
}

/** The table stream of a proxy that follows controllers. */
export function streamFigures({ isConnected, connects }: { isConnected: boolean; connects: number }): string {
  return [
    family('sluice_stream_connected', 'gauge', 'Whether a controller is connected.', isConnected ? 1 : 0),
    family('sluice_stream_connects_total', 'counter', 'Connections to controllers that were made.', connects),
  ].join('');
}

/** A worker that hangs must not make the scrape hang, ms. */
const scrapeTimeoutMs = 1_000;

function family(name: string, type: 'counter' | 'gauge', help: string, value: number | string, labels = ''): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}${labels} ${value}\n`;
}

/** Codes and kinds come from our own catalogues, so they need no escaping. */
function labelled(name: string, help: string, label: string, counts: Iterable<readonly [string, number]>): string {
  const samples = [...counts].map(([value, count]) => `${name}{${label}="${value}"} ${count}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${samples.join('')}`;
}

function countByCode(problems: readonly Problem[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { code } of problems) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}
