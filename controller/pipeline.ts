import type { Problem } from '#table/problem.ts';
import type { Row, Rows } from '#table/rows.ts';
import { ownKinds } from './addresses/kinds.ts';
import type { Plans } from './plans.ts';
import { Promises } from './promises.ts';
import type { Publisher } from './publish/publisher.ts';
import type { Translation } from './translate/options.ts';
import type { Translator } from './translate/translator.ts';
import type { Source } from './watch/source.ts';
import type { ClusterView, ViewUpdate } from './watch/view.ts';

export interface PipelineOptions<S extends Source> {
  /** Opens the source of objects; it calls back from a later turn of the event loop. */
  openSource(onUpdate: (update: ViewUpdate) => void): S;
  translator: Pick<Translator, 'apply'>;
  publisher: Publisher<Rows>;
  /** Rows that no object describes. */
  fixedRows: readonly Row[];
  /** What edges follow; null: there are none. */
  plans: Plans | null;
  nowMs(): number;
  /** A table was published. */
  onPublished?(state: Published): void;
  /** All proxies have what is in force for these Ingresses: what status says may be promised now. */
  onApplied?(state: Published): void;
}

/** What the last published table was made of. */
interface Published extends Pick<Translation, 'problems' | 'ingresses'> {
  view: ClusterView;
}

export interface Pipeline<S extends Source> {
  readonly source: S;
  /** Of the last published table; none before the first. */
  problems(): readonly Problem[];
}

/**
 * The whole data flow of the controller:
 *
 *     watch ─► view ─► translate ─► stage ─► commit ─► (proxies have applied) ─► status of Ingresses
 *                └───► plan ──────► stage ─► commit ─► (edges have applied) ───► status of Services
 *
 * Every update of the view runs through at once. Nothing here waits, batches or throttles: the source gathers what
 * belongs together, and the publisher gathers per proxy while that proxy applies.
 */
export function startPipeline<S extends Source>(options: PipelineOptions<S>): Pipeline<S> {
  const { translator, publisher, plans, nowMs } = options;
  const problemsOf = joiner<Problem>();
  const promises = new Promises();
  let published: Published | null = null;
  publisher.stage(options.fixedRows, []);

  const source: S = options.openSource((update) => {
    const { view, changes, unreadable, seen, holds } = update;
    const { upserts, deletes, problems, secretsInUse, ingresses } = translator.apply(
      view,
      changes,
      unreadable,
      nowMs(),
    );
    publisher.stage(upserts, deletes);
    const plan = plans?.stage(update);
    // A table without a Secret that is still being fetched would show clients the default certificate for a moment.
    const pendingSecrets = source.useSecrets(plan ? secretsInUse.union(plan.secretsInUse) : secretsInUse);
    if (pendingSecrets.size > 0) return;
    published = { view, problems: problemsOf(problems, plan?.problems ?? none), ingresses };
    const { generation } = publisher.commit(ofTables(seen), ofTables(holds));
    promises.committed(generation, ingresses);
    plans?.commit(view, seen, holds);
    options.onPublished?.(published);
    if (publisher.isApplied()) tellApplied(generation);
  });

  function tellApplied(generation: number): void {
    if (published === null) return;
    options.onApplied?.({ ...published, ingresses: promises.heldAt(generation, published.ingresses) });
  }
  publisher.onApplied(tellApplied);

  return { source, problems: () => published?.problems ?? none };
}

const none: readonly Problem[] = [];

/** Puts two lists together, and gives the same list again while both are the same. */
function joiner<T>(): (one: readonly T[], other: readonly T[]) => readonly T[] {
  let last: { one: readonly T[]; other: readonly T[]; both: readonly T[] } | null = null;
  return (one, other) => {
    if (other.length === 0) return one;
    if (last?.one !== one || last.other !== other) last = { one, other, both: [...one, ...other] };
    return last.both;
  };
}

/** Tables do not depend on our own kinds: a replica that does not see them yet is not behind. */
function ofTables(versions: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(versions).filter(([kind]) => !Object.hasOwn(ownKinds, kind)));
}
