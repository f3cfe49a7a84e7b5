import type { Problem } from '#table/problem.ts';
import { emptyTable, type Row, type RowRef, type Table } from '#table/rows.ts';
import { classNameOf, isOurs } from '../translate/classes.ts';
import { defaultTranslateOptions, type TranslateOptions } from '../translate/options.ts';
import { Translator } from '../translate/translator.ts';
import { duplicate } from '../watch/files.ts';
import { findManifests, statOf } from '../watch/folder.ts';
import type { HeldView } from '../watch/held.ts';
import { readManifests } from '../watch/manifests.ts';
import { keyOf, type ReadProblem } from '../watch/view.ts';
import { inputOf } from './input.ts';

/** Objects, and what a controller makes of them. */
export interface State {
  readonly view: HeldView;
  readonly translator: Translator;
  readonly table: Table;
  /** Those of a controller, and that Ingresses are none of its business, which it says nothing of. */
  readonly problems: readonly Problem[];
}

/** What of a controller's command line decides what becomes of objects. */
export interface Words {
  readonly ingressClass: string;
  readonly controllerClass: string;
  readonly adoptControllerClass: readonly string[];
  readonly watchIngressWithoutClass: boolean;
  /** `namespace/name`; null: none. */
  readonly configmap: string | null;
}

export function optionsOf(words: Words): TranslateOptions {
  return {
    ...defaultTranslateOptions,
    ingressClass: words.ingressClass,
    controllerName: words.controllerClass,
    adoptedControllerNames: words.adoptControllerClass,
    servesClassless: words.watchIngressWithoutClass,
    configMap: words.configmap,
    allowsLoopbackEndpoints: true,
  };
}

/** What becomes of a view, by the code of the controller. */
export function stateOf(
  view: HeldView,
  unreadable: readonly ReadProblem[],
  options: TranslateOptions,
  nowMs: number,
): State {
  const translator = new Translator(options);
  const { upserts, problems } = translator.apply(view, [], unreadable, nowMs);
  const table = changed(emptyTable(), upserts, []);
  return { view, translator, table, problems: [...problems, ...foreignProblems(view, options)] };
}

/** Whoever asks what would come of an Ingress, and forgets to say which class is served, would hear that all is well. */
function foreignProblems(view: HeldView, options: TranslateOptions): Problem[] {
  const foreign = [...view.all('Ingress')].filter((ingress) => !isOurs(ingress, view, options));
  return foreign.map((ingress) => {
    const { namespace, name } = ingress.metadata;
    const className = classNameOf(ingress);
    return {
      code: 'ClassNotServed',
      severity: 'warning',
      source: { kind: 'Ingress', namespace, name },
      message: className === '' ? 'It names no class, and is not served.' : `Its class ${className} is not served.`,
      hint:
        className === ''
          ? 'Name one in spec.ingressClassName; --watch-ingress-without-class is for controllers that serve those without.'
          : 'If controllers serve it, say so as they are told: --ingress-class, or --adopt-controller-class with its IngressClass.',
    };
  });
}

/** Puts rows into a table and takes others out of it. */
export function changed(table: Table, upserts: readonly Row[], deletes: readonly RowRef[]): Table {
  for (const { kind, id } of deletes) table[kind].delete(id);
  for (const { kind, row } of upserts) (table[kind] as Map<string, typeof row>).set(row.id, row);
  return table;
}

/**
 * Puts manifests of files into a view, over what is there.
 *
 * @param files paths of files, or of folders with all manifests below; `-` is what comes on stdin
 * @param namespace of objects that name none
 * @returns what could not be read of them
 * @throws when a file cannot be read; the message is for a person
 */
export async function putFiles(
  view: HeldView,
  files: readonly string[],
  namespace = 'default',
): Promise<ReadProblem[]> {
  const unreadable: ReadProblem[] = [];
  const seen = new Set<string>();
  for (const file of (await Promise.all(files.map(filesOf))).flat()) {
    const { objects, problems, syntax } = readManifests(await inputOf(file), file, namespace);
    for (const object of objects) {
      const id = `${object.kind} ${keyOf(object)}`;
      if (seen.has(id)) unreadable.push(duplicate(object));
      else view.put(object);
      seen.add(id);
    }
    unreadable.push(...problems, ...(syntax === null ? [] : [syntax]));
  }
  return unreadable;
}

async function filesOf(path: string): Promise<readonly string[]> {
  if (path === '-' || !(await statOf(path).catch(() => null))?.isDirectory()) return [path];
  const { paths, closed } = await findManifests(path);
  // What cannot be read below is told by the one who reads it.
  return [...paths, ...closed.map((folder) => folder.path)];
}
