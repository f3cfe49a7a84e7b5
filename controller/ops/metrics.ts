import { exposition } from '#kit/exposition.ts';
import type { Problem } from '#table/problem.ts';
import type { Rows } from '#table/rows.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { KindState } from '../watch/source.ts';
import { type EdgeFigures, planFigures } from './edgemetrics.ts';
import { controllerFamilies } from './families.ts';

export interface ControllerFigures {
  watch: Readonly<Record<string, KindState>>;
  publisher: Pick<Publisher<Rows>, 'current' | 'readers' | 'countRows'>;
  problems: readonly Problem[];
  isLeader: boolean;
  statuses: { writes: number; contested: number };
  /** By verdict; null: there is no webhook. */
  reviews: Readonly<Record<string, number>> | null;
  /** null: no edges are served. */
  edges: EdgeFigures | null;
}

const show = exposition(controllerFamilies);

/** The controller's figures as Prometheus text (exposition format 0.0.4). */
export function renderFigures({
  watch,
  publisher,
  problems,
  isLeader,
  statuses,
  reviews,
  edges,
}: ControllerFigures): string {
  const kinds = Object.entries(watch);
  const proxies = publisher.readers();
  const hash = publisher.current?.hash;
  const hasApplied = proxies.filter(({ appliedHash }) => appliedHash !== null && appliedHash === hash);
  const count = (list: readonly { connected: string }[]) =>
    ['here', 'elsewhere'].map(
      (place) => [{ connected: place }, list.filter(({ connected }) => connected === place).length] as const,
    );
  return [
    show.rows(
      'sluice_controller_watch_last_event_age_seconds',
      kinds.map(([kind, { lastEventAgeMs }]) => [{ kind }, lastEventAgeMs / 1_000]),
    ),
    show.rows(
      'sluice_controller_watch_relists_total',
      kinds.map(([kind, { relists }]) => [{ kind }, relists]),
    ),
    show.rows(
      'sluice_controller_watch_failing',
      kinds.map(([kind, { failure }]) => [{ kind }, failure === null ? 0 : 1]),
    ),
    show.single('sluice_controller_table_generation', publisher.current?.generation ?? 0),
    show.rows(
      'sluice_controller_table_rows',
      Object.entries(publisher.countRows()).map(([kind, rows]) => [{ kind }, rows]),
    ),
    show.rows('sluice_controller_proxies', count(proxies)),
    show.rows('sluice_controller_proxies_applied', count(hasApplied)),
    show.single('sluice_controller_proxies_refusing', proxies.filter(({ refused }) => refused.length > 0).length),
    show.rows(
      'sluice_controller_problems',
      Map.groupBy(problems, ({ severity, code }) => `${severity} ${code}`)
        .values()
        .flatMap((same) => same.slice(0, 1).map(({ severity, code }) => [{ severity, code }, same.length] as const)),
    ),
    show.single('sluice_controller_leader', isLeader ? 1 : 0),
    show.single('sluice_controller_status_writes_total', statuses.writes),
    show.single('sluice_controller_status_contested', statuses.contested),
    show.rows(
      'sluice_controller_admission_reviews_total',
      Object.entries(reviews ?? {}).map(([verdict, count]) => [{ verdict }, count]),
    ),
    ...(edges === null ? [] : planFigures(edges)),
    show.single('sluice_controller_resident_memory_bytes', process.memoryUsage.rss()),
  ].join('');
}
