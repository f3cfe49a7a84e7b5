import type { Problem } from '#table/problem.ts';
import { HeldView } from '../watch/held.ts';
import { optionsOf, putFiles, stateOf, type Words } from './state.ts';

/**
 * What would come of manifests, by the code that a controller translates them with, and as if there was nothing else.
 *
 * @param files paths of files, or of folders with all manifests below; `-` is what comes on stdin
 * @throws when a file cannot be read; the message is for a person
 */
export async function lint(files: readonly string[], words: Words, nowMs: number): Promise<readonly Problem[]> {
  const view = new HeldView();
  const unreadable = await putFiles(view, files);
  return stateOf(view, unreadable, optionsOf(words), nowMs).problems;
}

/** A line for a person, and for grep. */
export function problemLine({ code, severity, source, message, hint }: Problem): string {
  return `${inLine(`${severity.padEnd(7)} ${code}: ${placeOf(source)}: ${message} ${hint}`)}\n`;
}

/** The object, and the field of it: `Ingress shop/web spec.rules[0]`. */
export function placeOf({ kind, namespace, name, field }: Problem['source']): string {
  const place = [kind, namespace === '' ? name : `${namespace}/${name}`, field].filter((part) => part).join(' ');
  return inLine(place);
}

/** Manifests that no API server has seen may have any name: one with line ends would look like further lines. */
function inLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
