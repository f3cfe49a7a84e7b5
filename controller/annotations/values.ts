import { Address, Prefix } from '#table/address.ts';
import { cipherFault } from '../translate/ciphers.ts';

/** The value syntaxes of ingress-nginx. It parses with Go's strconv, so yes/no/on/off and units are refused as there. */

const trueWords: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const falseWords: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

export const booleanSyntax = 'a boolean (true or false)';
export const onOffSyntax = 'on or off';
export const rangesSyntax = 'a list of addresses or ranges like 10.0.0.0/8, with commas between them';
export const secretSyntax = 'a Secret as namespace/name';
export const secondsSyntax = 'a whole number of seconds without a unit';
export const waitSyntax = 'a whole number of seconds without a unit, 0 or more';
export const decimalSecondsSyntax = 'a number of seconds with at most three decimals, without a unit';

/** What a timer can hold (2^31 ms). */
const mostSeconds = 2_147_483;

/** Go's ParseBool. */
export function parseBoolean(value: string): boolean | undefined {
  if (trueWords.has(value)) return true;
  return falseWords.has(value) ? false : undefined;
}

/** Exactly these words; ingress-nginx trims texts, where it takes booleans and numbers as they are. */
export function parseOnOff(value: string): boolean | undefined {
  const word = value.trim();
  return word === 'on' ? true : word === 'off' ? false : undefined;
}

/** A Secret as an annotation names it. */
export interface SecretName {
  /** null: that of the Ingress. */
  namespace: string | null;
  name: string;
}

export function parseSecretName(value: string): SecretName | undefined {
  const [, namespace = null, name] =
    /^(?:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/)?([a-z0-9][a-z0-9.-]{0,252})$/.exec(value.trim()) ?? [];
  return name === undefined ? undefined : { namespace, name };
}

/** Go's Atoi: an optional sign and decimal digits. */
export function parseInteger(value: string): number | undefined {
  if (!/^[+-]?\d{1,15}$/.test(value)) return undefined;
  return Number(value);
}

/** A parser for whole numbers within bounds. */
export function wholeNumber(least: number, most: number): (value: string) => number | undefined {
  return (value) => {
    const number = parseInteger(value);
    return number === undefined || number < least || number > most ? undefined : number;
  };
}

/** Seconds, 0 for no limit, as milliseconds. */
export function parseWaitMs(value: string): number | undefined {
  const seconds = wholeNumber(0, mostSeconds)(value);
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Seconds with at most three decimals, 0 for no limit, as milliseconds. */
export function parseDecimalSecondsMs(value: string): number | undefined {
  if (!/^\d{1,7}(\.\d{1,3})?$/.test(value) || Number(value) > mostSeconds) return undefined;
  return Math.round(Number(value) * 1000);
}

/** Seconds above 0 and within what a timer can hold (2^31 ms), as milliseconds. */
export function parseTimeoutMs(value: string): number | undefined {
  const seconds = parseInteger(value);
  return seconds === undefined || seconds < 1 || seconds > mostSeconds ? undefined : seconds * 1000;
}

/** nginx's time: whole numbers with an optional unit, of which some may stand together (`1h 30m`), as milliseconds. */
export function parseNginxTimeMs(value: string): number | undefined {
  const text = value.trim();
  if (!/^\d{1,9}(?:ms|[smhd])?(?: ?\d{1,9}(?:ms|[smhd]))*$/.test(text)) return undefined;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+)(ms|[smhd])?/g)) {
    ms += Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit ?? 's'] ?? 0);
  }
  return ms > mostSeconds * 1000 ? undefined : ms;
}

/** nginx's size: digits and an optional b, k, m or g in any case. In bytes. */
export function parseSizeBytes(value: string): number | undefined {
  const parts = /^(\d{1,12})([bkmg]?)$/i.exec(value.trim());
  if (parts === null) return undefined;
  const unit = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[(parts[2] ?? '').toLowerCase()] ?? 1;
  const bytes = Number(parts[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A parser for one of some words, compared without regard to case; the result is spelled as listed. */
export function oneOf<const T extends string>(words: readonly T[]): (value: string) => T | undefined {
  return (value) => words.find((word) => word.toLowerCase() === value.trim().toLowerCase());
}

/**
 * A parser for text of a character class. Lines are trimmed and joined as ingress-nginx does it; anything left that is
 * outside the class (line breaks above all) refuses the whole value, for the value may end up in a header.
 */
export function textOf(pattern: RegExp): (value: string) => string | undefined {
  return (value) => {
    const text = value
      .split('\n')
      .map((line) => line.trim())
      .join('\n')
      .trim();
    return pattern.test(text) ? text : undefined;
  };
}

/** Addresses and ranges of both families, with commas between them; in short form, each once. */
export function parseRanges(value: string): string[] | undefined {
  const ranges = new Set<string>();
  for (const text of value.split(',')) {
    const range = rangeOf(text.trim());
    if (range === undefined) return undefined;
    ranges.add(range);
  }
  return [...ranges];
}

function rangeOf(text: string): string | undefined {
  const prefix = Prefix.safeParse(text);
  return prefix.success ? prefix.data : Address.safeParse(text).data;
}

/** OpenSSL's list of suites for TLS 1.2. */
export function parseCiphers(value: string): string | undefined {
  const text = value.trim();
  return /^[A-Za-z0-9\-_+!:@=. ]{1,2000}$/.test(text) && cipherFault(text) === undefined ? text : undefined;
}
