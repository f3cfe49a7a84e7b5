import type { Problem, Source } from '#table/problem.ts';
import { type Row, rowKinds, type Table, tableContract } from '#table/rows.ts';
import type { TranslateOptions } from '../translate/options.ts';
import { Translator } from '../translate/translator.ts';
import type { Cluster } from '../watch/api.ts';
import { HeldView } from '../watch/held.ts';
import type { AnyObject } from '../watch/objects.ts';
import type { ClusterView } from '../watch/view.ts';
import { type ClusterObjects, heldOf, readCluster } from './clusterstate.ts';
import { flat } from './flat.ts';
import { placeOf, problemLine } from './lint.ts';
import { optionsOf, putFiles, type State, stateOf, type Words } from './state.ts';

export interface DiffOptions extends Words {
  /** Manifests of before; empty: what a cluster has. */
  readonly from: readonly string[];
  /** Manifests of after; against a cluster they are put over what it has. */
  readonly to: readonly string[];
}

/**
 * What would change in the tables, as lines for a person; empty: nothing.
 *
 * @param cluster opened only when there are no files of before
 * @throws when something cannot be read; the message is for a person
 */
export async function diff(options: DiffOptions, cluster: () => Promise<Cluster>): Promise<string> {
  const words = optionsOf(options);
  const now = Date.now();
  const { before, after } =
    options.from.length > 0
      ? { before: await objectsOf(options.from), after: await objectsOf(options.to) }
      : await ofCluster(words, options.to, cluster);
  const state = ({ view, unreadable }: ClusterObjects) => stateOf(view, unreadable, words, now);
  return differenceText(state(before), state(after));
}

async function objectsOf(files: readonly string[], namespace?: string): Promise<ClusterObjects> {
  const view = new HeldView();
  return { view, unreadable: await putFiles(view, files, namespace) };
}

/** As if the manifests were applied: what an API server gives an object, it keeps. */
function putOver(view: ClusterView, fresh: HeldView): HeldView {
  const after = heldOf(view);
  const now = new Date().toISOString();
  for (const { kind, key } of fresh.entries()) {
    const object = fresh.get(kind, key);
    if (object !== undefined) after.put(applied(object, view.get(kind, key), now));
  }
  return after;
}

function applied(object: AnyObject, before: AnyObject | undefined, now: string): AnyObject {
  const { uid = '', creationTimestamp = now } = before?.metadata ?? {};
  const metadata = { ...object.metadata, uid, creationTimestamp };
  if (object.kind !== 'Service' || before?.kind !== 'Service') return { ...object, metadata } as AnyObject;
  const { clusterIP, clusterIPs, ipFamilies } = before.spec;
  const { finalizers } = before.metadata;
  return {
    ...before,
    metadata: { ...object.metadata, uid, creationTimestamp, finalizers },
    spec: { ...object.spec, clusterIP, clusterIPs, ipFamilies },
  };
}

/** What a cluster has, and what it would have. */
async function ofCluster(words: TranslateOptions, files: readonly string[], cluster: () => Promise<Cluster>) {
  const named = (view: ClusterView) => new Translator(words).apply(view, [], [], Date.now()).secretsInUse;
  const api = await cluster();
  try {
    // Where kubectl would put them.
    const fresh = await objectsOf(files, api.namespace);
    // Those that objects name, and those that they would.
    const secretsOf = (view: ClusterView) => named(view).union(named(putOver(view, fresh.view)));
    const before = await readCluster(api, words, { secretsOf, limitMs: 30_000 });
    const unreadable = [...before.unreadable, ...fresh.unreadable];
    return { before, after: { view: putOver(before.view, fresh.view), unreadable } };
  } finally {
    await api.close();
  }
}

function differenceText(before: State, after: State): string {
  const lines = rowKinds.flatMap((kind) => {
    const ids = new Set([...before.table[kind].keys(), ...after.table[kind].keys()]);
    return [...ids].sort().flatMap((id) => rowLines(rowOf(before.table, kind, id), rowOf(after.table, kind, id)));
  });
  const told = (state: State) => new Set(state.problems.map((problem: Problem) => problemLine(problem).trimEnd()));
  const [old, fresh] = [told(before), told(after)];
  lines.push(...[...old.difference(fresh)].map((line) => `- problem ${line}`));
  lines.push(...[...fresh.difference(old)].map((line) => `+ problem ${line}`));
  return lines.map((line) => `${line}\n`).join('');
}

/** Key material shows as what may be told of it: who it is for, until when, and its fingerprint. */
function rowOf(table: Table, kind: Row['kind'], id: string): { entry: Row; fields: Map<string, string> } | null {
  const row = table[kind].get(id);
  if (row === undefined) return null;
  const entry = { kind, row } as Row;
  const seal = tableContract.sealed[kind] as ((row: object) => object) | undefined;
  return { entry, fields: new Map(flat(seal?.(row) ?? row)) };
}

function rowLines(old: ReturnType<typeof rowOf>, fresh: typeof old): string[] {
  const entry = fresh?.entry ?? old?.entry;
  if (entry === undefined) return [];
  const title = `${entry.kind} ${entry.row.id}${sourceOf(entry)}`;
  if (fresh === null) return [`- ${title}`];
  if (old === null) return [`+ ${title}`];
  const fields = [...new Set([...old.fields.keys(), ...fresh.fields.keys()])].flatMap((field) => {
    const [from, to] = [old.fields.get(field) ?? 'none', fresh.fields.get(field) ?? 'none'];
    return from === to ? [] : `    ${field} ${from} → ${to}`;
  });
  if (fields.length > 0) return [`~ ${title}`, ...fields];
  return entry.kind === 'secret' && isOther(old.entry, entry) ? [`~ ${title}`, '    its content'] : [];
}

function isOther(one: Row, other: Row): boolean {
  return one.kind === 'secret' && other.kind === 'secret' && one.row.value !== other.row.value;
}

function sourceOf({ row }: Row): string {
  const source: Source | null = 'source' in row ? row.source : null;
  return source === null ? '' : ` (${placeOf(source)})`;
}
