import type { Problem } from '#table/problem.ts';
import type { Rows } from '#table/rows.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { KindState } from '../watch/source.ts';
import { type EdgeFigures, edgeFamilies } from './edgemetrics.ts';
import { family, type Sample, sample } from './exposition.ts';

export interface ControllerFigures {
  watch: Readonly<Record<string, KindState>>;
  publisher: Pick<Publisher<Rows>, 'current' | 'readers' | 'countRows'>;
  problems: readonly Problem[];
  isLeader: boolean;
  statuses: { writes: number; contested: number };
  /** null: no edges are served. */
  edges: EdgeFigures | null;
}

/** The controller's figures as Prometheus text (exposition format 0.0.4). */
export function renderFigures({ watch, publisher, problems, isLeader, statuses, edges }: ControllerFigures): string {
  const kinds = Object.entries(watch);
  const proxies = publisher.readers();
  const hash = publisher.current?.hash;
  const hasApplied = proxies.filter(({ appliedHash }) => appliedHash !== null && appliedHash === hash);
  const count = (list: readonly { connected: string }[], where: string) =>
    list.filter(({ connected }) => connected === where).length;
  const places = ['here', 'elsewhere'];
  return [
    family('watch_last_event_age_seconds', 'gauge', 'Time since anything was heard of a kind of object.', [
      ...kinds.map(([kind, { lastEventAgeMs }]) => sample({ kind }, lastEventAgeMs / 1_000)),
    ]),
    family('watch_relists_total', 'counter', 'Full lists after the first, by kind of object.', [
      ...kinds.map(([kind, { relists }]) => sample({ kind }, relists)),
    ]),
    family('watch_failing', 'gauge', '1 while the last attempt to watch a kind of object failed.', [
      ...kinds.map(([kind, { failure }]) => sample({ kind }, failure === null ? 0 : 1)),
    ]),
    family('table_generation', 'gauge', 'Tables that this controller has published.', [
      sample({}, publisher.current?.generation ?? 0),
    ]),
    family('table_rows', 'gauge', 'Rows of the table, by kind.', [
      ...Object.entries(publisher.countRows()).map(([kind, rows]) => sample({ kind }, rows)),
    ]),
    family('proxies', 'gauge', 'Proxies that follow this controller (here) or another replica (elsewhere).', [
      ...places.map((connected) => sample({ connected }, count(proxies, connected))),
    ]),
    family('proxies_applied', 'gauge', 'Those of them that have applied the table of this controller.', [
      ...places.map((connected) => sample({ connected }, count(hasApplied, connected))),
    ]),
    family('proxies_refusing', 'gauge', 'Proxies that refused the last table that they were sent.', [
      sample({}, proxies.filter(({ refused }) => refused.length > 0).length),
    ]),
    family('problems', 'gauge', 'Problems of objects, by code.', problemSamples(problems)),
    family('leader', 'gauge', '1 while this controller writes statuses and events.', [sample({}, isLeader ? 1 : 0)]),
    family('status_writes_total', 'counter', 'Statuses of Ingresses that were written.', [sample({}, statuses.writes)]),
    family('status_contested', 'gauge', 'Ingresses whose status another writer keeps changing.', [
      sample({}, statuses.contested),
    ]),
    ...(edges === null ? [] : edgeFamilies(edges)),
    family('resident_memory_bytes', 'gauge', 'Resident memory of the controller.', [
      sample({}, process.memoryUsage.rss()),
    ]),
  ].join('');
}

function problemSamples(problems: readonly Problem[]): Sample[] {
  const counts = new Map<string, { severity: string; code: string; count: number }>();
  for (const { code, severity } of problems) {
    const key = `${severity} ${code}`;
    const entry = counts.get(key) ?? { severity, code, count: 0 };
    entry.count++;
    counts.set(key, entry);
  }
  return [...counts.values()].map(({ severity, code, count }) => sample({ severity, code }, count));
}
