import { parseDocument, stringify } from 'yaml';
import { inputOf } from './input.ts';
import { migrateValues, type Note, nothing } from './migrate.ts';

/**
 * A file of values of charts/sluice, with what became of those of ingress-nginx as comments on top.
 *
 * @param file path of values of ingress-nginx's chart; `-` is what comes on stdin
 * @throws when the file cannot be read; the message is for a person
 */
export async function migratedFile(file: string): Promise<string> {
  const { values, notes } = migrateValues(valuesOf(await inputOf(file), file));
  // Helm reads YAML 1.1, in which off is a switch.
  return `${commentOf(notes)}\n${stringify(values, { lineWidth: 0, version: '1.1', aliasDuplicateObjects: false })}`;
}

function valuesOf(text: string, file: string): Record<string, unknown> {
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    logLevel: 'error',
    // Helm knows neither times nor numbers of base 60.
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || !isTime(tag)),
  });
  const error = document.errors[0];
  if (error !== undefined) {
    const place = error.linePos === undefined ? '' : `:${error.linePos[0].line}:${error.linePos[0].col}`;
    throw new Error(`${file}${place} is not a YAML document of values`);
  }
  const values = plainOf(document, file);
  if (values === null) return {};
  if (typeof values !== 'object' || Array.isArray(values)) throw new Error(`${file} holds no map of values`);
  return values as Record<string, unknown>;
}

function isTime({ tag, format }: { tag: string; format?: string }): boolean {
  return format === 'TIME' || tag.endsWith(':timestamp');
}

function plainOf(document: ReturnType<typeof parseDocument>, file: string): unknown {
  try {
    const values: unknown = document.toJS({ maxAliasCount: 100 });
    // Throws when an alias stands within what it names.
    JSON.stringify(values);
    return values;
  } catch {
    throw new Error(`${file} has an alias that cannot be resolved`);
  }
}

const titles = [
  ['todo', 'To do:'],
  ['added', 'Added:'],
  ['moved', 'Moved:'],
  ['ignored', 'Not needed:'],
  ['same', 'The same:'],
] as const;

/** Values of one fate share a paragraph; those that say nothing are not worth a line. */
function commentOf(notes: readonly Note[]): string {
  const lines = ['Values of charts/sluice, made of those of ingress-nginx by `sluice migrate values`.'];
  for (const [verdict, title] of titles) {
    const shown = notes.filter((note) => note.verdict === verdict && note.says !== nothing);
    if (shown.length === 0) continue;
    lines.push('', title);
    for (const [says, alike] of Map.groupBy(shown, ({ says }) => says)) {
      lines.push(
        ...alike.map(
          ({ from, to }) => `  ${verdict === 'moved' ? `${from} → ${to.join(', ')}` : from || to.join(', ')}`,
        ),
      );
      if (says !== '') lines.push(`    ${says}`);
    }
  }
  return lines.map((line) => `# ${line}`.trimEnd().concat('\n')).join('');
}
