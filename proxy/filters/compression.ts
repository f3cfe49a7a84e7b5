import type { Compression } from '#table/compression.ts';

export type Encoding = Compression[number];

/** A compression row, ready to be asked. */
export interface CompiledCompression {
  /**
   * Encodings that such a body may get.
   * @param contentType value of Content-Type, '' without
   * @param length bytes; -1: not known
   */
  for(contentType: string, length: number): readonly Encoding[];
}

export function compileCompression(row: Compression): CompiledCompression {
  const tests = row.map((encoding) => ({ encoding, covers: coverOf(encoding.types) }));
  return {
    for(contentType, length) {
      const type = mediaType(contentType);
      if (type === '') return none;
      const fitting = tests.filter(
        ({ encoding, covers }) => covers(type) && (length === -1 || length >= encoding.minBytes),
      );
      return fitting.map(({ encoding }) => encoding);
    },
  };
}

const none: readonly Encoding[] = [];

function coverOf(types: readonly string[]): (type: string) => boolean {
  const exact = new Set(types);
  if (exact.has('*')) return () => true;
  const families = types.filter((type) => type.endsWith('/*')).map((type) => type.slice(0, -1));
  return (type) => exact.has(type) || families.some((family) => type.startsWith(family));
}

/**
 * The encoding for a client (RFC 9110 §12.5.3): the heaviest that it accepts, of equals the first of the row.
 * @param accepted value of Accept-Encoding, '' without
 * @returns null: the body goes as it is
 */
export function chooseEncoding(encodings: readonly Encoding[], accepted: string): Encoding | null {
  if (accepted === '') return null;
  const weights = weightsOf(accepted);
  const any = weights.get('*') ?? 0;
  let best: Encoding | null = null;
  // Whoever says that identity is worth more than any coding gets identity.
  let bestWeight = weights.get('identity') ?? 0;
  for (const encoding of encodings) {
    const weight = weights.get(encoding.name) ?? (encoding.name === 'gzip' ? weights.get('x-gzip') : undefined) ?? any;
    const isBetter = best === null ? weight > 0 && weight >= bestWeight : weight > bestWeight;
    if (!isBetter) continue;
    best = encoding;
    bestWeight = weight;
  }
  return best;
}

/** More entries than any browser sends say nothing more. */
const mostEntries = 16;

function weightsOf(accepted: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const entry of accepted.toLowerCase().split(',', mostEntries)) {
    const [name = '', ...parameters] = entry.split(';');
    const q = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith('q='));
    weights.set(name.trim(), q === undefined ? 1 : weightOf(q.slice(2)));
  }
  return weights;
}

/** A weight that is none counts as a refusal. */
function weightOf(text: string): number {
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 0;
}

function mediaType(contentType: string): string {
  const semicolon = contentType.indexOf(';');
  return (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}
