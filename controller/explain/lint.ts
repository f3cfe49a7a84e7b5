import type { Problem } from '#table/problem.ts';
import { defaultTranslateOptions } from '../translate/options.ts';
import { Translator } from '../translate/translator.ts';
import { findManifests, statOf } from '../watch/folder.ts';
import { HeldView } from '../watch/held.ts';
import { readManifests } from '../watch/manifests.ts';
import type { ReadProblem } from '../watch/view.ts';
import { inputOf } from './input.ts';

/**
 * What would come of manifests, by the code that a controller translates them with, and as if there was nothing else.
 *
 * @param files paths of files, or of folders with all manifests below; `-` is what comes on stdin
 * @throws when a file cannot be read; the message is for a person
 */
export async function lint(files: readonly string[], ingressClass: string, nowMs: number): Promise<readonly Problem[]> {
  const view = new HeldView();
  const unreadable: ReadProblem[] = [];
  for (const file of (await Promise.all(files.map(filesOf))).flat()) {
    const { objects, problems, syntax } = readManifests(await inputOf(file), file);
    for (const object of objects) view.put(object);
    unreadable.push(...problems, ...(syntax === null ? [] : [syntax]));
  }
  const translator = new Translator({ ...defaultTranslateOptions, ingressClass, allowsLoopbackEndpoints: true });
  return translator.apply(view, [], unreadable, nowMs).problems;
}

async function filesOf(path: string): Promise<readonly string[]> {
  if (path === '-' || !(await statOf(path).catch(() => null))?.isDirectory()) return [path];
  const { paths, closed } = await findManifests(path);
  // What cannot be read below is told by the one who reads it.
  return [...paths, ...closed.map((folder) => folder.path)];
}

/** A line for a person, and for grep. */
export function problemLine({ code, severity, source, message, hint }: Problem): string {
  const { kind, namespace, name, field } = source;
  const where = [kind, namespace === '' ? name : `${namespace}/${name}`, field].filter((part) => part).join(' ');
  return `${severity.padEnd(7)} ${code}: ${where}: ${message} ${hint}\n`;
}
