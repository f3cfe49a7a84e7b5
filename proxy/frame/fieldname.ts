import { copyOf } from '../parse/latin1.ts';
import { staticIndexByName } from './statictable.ts';

/** How the encoder treats a field by its name. */
export interface FieldName {
  /** As it goes out (RFC 9113 §8.2.1). */
  readonly lower: string;
  /** Index of an entry of the static table with that name; 0 without. */
  readonly index: number;
  /** Never in a table, here or at any hop: guessing what is in one must not be possible (RFC 7541 §7.1). */
  readonly isSecret: boolean;
  /** Speaks of one connection: not to be sent here, whoever put it into the lines (RFC 9113 §8.2.2). */
  readonly isConnectionSpecific: boolean;
}

const secrets: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);

const connectionSpecific: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Senders repeat the same few names; the bounds keep one of random names, or of long ones, from filling the worker. */
const known = new Map<string, FieldName>();
const mostKnown = 2_048;
const longestKnown = 64;

/** @param name in any case */
export function fieldNameOf(name: string): FieldName {
  const found = known.get(name);
  if (found !== undefined) return found;
  const lower = name.toLowerCase();
  const made: FieldName = {
    lower,
    index: staticIndexByName.get(lower) ?? 0,
    isSecret: secrets.has(lower),
    isConnectionSpecific: connectionSpecific.has(lower),
  };
  if (name.length > longestKnown) return made;
  if (known.size >= mostKnown) known.clear();
  known.set(copyOf(name), made);
  return made;
}
