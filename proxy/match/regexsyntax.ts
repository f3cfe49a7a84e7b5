/** How a pattern is to be read by V8, or that V8 must not be asked. */
export interface V8Source {
  readonly source: string;
}

/**
 * V8's linear engine, which takes over when a match backtracks too much, does not support every pattern. Measured: with
 * the `i` flag, or with counted repetitions that multiply to more than 16, V8 backtracks without end in spite of its flag.
 */
const mostRepetitions = 16;

/**
 * Writes a pattern that RE2 accepts for V8, so that both mean the same and V8 stays linear: letters become `[aA]` where case is
 * ignored, `.` and `\s` become what RE2 means by them. @returns null when the pattern uses what only RE2 has
 * (`\A`, `\z`, `\Q`, `\p`, `[[:alpha:]]`, inline flags, escapes by number) or what V8 would backtrack on
 *
 * @param pattern a string of bytes that RE2 has accepted: brackets and parentheses balance
 */
export function toV8Source(pattern: string, caseRule: 'exact' | 'ignore'): V8Source | null {
  const reader: Reader = { pattern, at: 0, isFolding: caseRule === 'ignore', source: '' };
  /** Per open group, the largest product of repetitions inside; the last element is the innermost. */
  const repetitions: number[] = [1];
  let last = 1;
  while (reader.at < pattern.length) {
    const char = pattern[reader.at] as string;
    const counted = char === '{' ? readCount(reader) : 0;
    if (counted > 0) {
      last *= counted;
      if (last > mostRepetitions) return null;
      raise(repetitions, last);
    } else if (char === '(') {
      if (!readGroupStart(reader)) return null;
      repetitions.push(1);
      last = 1;
    } else if (char === ')') {
      last = repetitions.pop() ?? 1;
      raise(repetitions, last);
      copy(reader, 1);
    } else if (char === '*' || char === '+' || char === '?') {
      copy(reader, 1);
    } else {
      last = 1;
      if (!readAtom(reader, char)) return null;
    }
  }
  return { source: reader.source };
}

interface Reader {
  readonly pattern: string;
  at: number;
  readonly isFolding: boolean;
  source: string;
}

function raise(repetitions: number[], product: number): void {
  const top = repetitions.length - 1;
  if (top >= 0 && product > (repetitions[top] as number)) repetitions[top] = product;
}

function copy(reader: Reader, length: number): void {
  reader.source += reader.pattern.slice(reader.at, reader.at + length);
  reader.at += length;
}

/** @returns how often the repeated part is laid out; 0 when the brace is no quantifier but text */
function readCount(reader: Reader): number {
  const found = /^\{(\d+)(,?)(\d*)\}/.exec(reader.pattern.slice(reader.at, reader.at + 16));
  if (!found) return 0;
  copy(reader, found[0].length);
  const least = Number(found[1]);
  const most = found[3] === '' ? least + (found[2] === ',' ? 1 : 0) : Number(found[3]);
  return Math.max(1, most);
}

function readGroupStart(reader: Reader): boolean {
  const ahead = reader.pattern.slice(reader.at, reader.at + 3);
  if (!ahead.startsWith('(?')) {
    copy(reader, 1);
    return true;
  }
  if (ahead === '(?:') {
    copy(reader, 3);
    return true;
  }
  const named = /^\(\?<[A-Za-z_]\w*>/.exec(reader.pattern.slice(reader.at));
  if (!named) return false;
  copy(reader, named[0].length);
  return true;
}

function readAtom(reader: Reader, char: string): boolean {
  if (char === '\\') return readEscape(reader);
  if (char === '[') return readClass(reader);
  reader.at++;
  if (char === '.') reader.source += '[^\\n]';
  else if (char === '{' || char === '}' || char === ']') reader.source += `\\${char}`;
  else if (reader.isFolding && isLetter(char)) reader.source += `[${char.toLowerCase()}${char.toUpperCase()}]`;
  else reader.source += char;
  return true;
}

function readEscape(reader: Reader): boolean {
  const escaped = reader.pattern[reader.at + 1] ?? '';
  if (escaped === 's' || escaped === 'S') {
    reader.source += escaped === 's' ? '[\\t\\n\\f\\r ]' : '[^\\t\\n\\f\\r ]';
    reader.at += 2;
    return true;
  }
  if (!/[dDwWbBnrtfv]|[!-/:-@[-`{-~]/.test(escaped)) return false;
  copy(reader, 2);
  return true;
}

/** One bracketed class. Ranges whose ends are plain characters are folded; anything else unusual is left to RE2. */
function readClass(reader: Reader): boolean {
  const { pattern } = reader;
  let at = reader.at + 1;
  let source = '[';
  if (pattern[at] === '^') {
    source += '^';
    at++;
  }
  if (pattern[at] === ']') return false;
  while (pattern[at] !== ']') {
    if (at >= pattern.length || pattern.startsWith('[:', at)) return false;
    const low = readClassChar(pattern, at);
    if (low === null) return false;
    at += low.length;
    const isRange = pattern[at] === '-' && pattern[at + 1] !== ']';
    if (!isRange) {
      source += low.set ?? foldRange(low.char, low.char, reader.isFolding);
      continue;
    }
    const high = readClassChar(pattern, at + 1);
    if (high === null || low.set !== undefined || high.set !== undefined) return false;
    at += 1 + high.length;
    source += foldRange(low.char, high.char, reader.isFolding);
  }
  reader.source += `${source}]`;
  reader.at = at + 1;
  return true;
}

interface ClassChar {
  readonly char: string;
  readonly length: number;
  /** What stands for more than one character: `\d`. */
  readonly set?: string;
}

const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v' };

function readClassChar(pattern: string, at: number): ClassChar | null {
  const char = pattern[at] as string;
  if (char !== '\\') return { char, length: 1 };
  const escaped = pattern[at + 1] ?? '';
  if (escaped === 's') return { char: '', length: 2, set: '\\t\\n\\f\\r ' };
  if (/[dDwW]/.test(escaped)) return { char: '', length: 2, set: `\\${escaped}` };
  const control = controls[escaped];
  if (control !== undefined) return { char: control, length: 2 };
  return /[!-/:-@[-`{-~]/.test(escaped) ? { char: escaped, length: 2 } : null;
}

function foldRange(low: string, high: string, isFolding: boolean): string {
  let source = rangeSource(low.charCodeAt(0), high.charCodeAt(0));
  if (!isFolding) return source;
  const upper = overlap(low, high, 'A', 'Z');
  if (upper) source += rangeSource(upper.low + 32, upper.high + 32);
  const lower = overlap(low, high, 'a', 'z');
  if (lower) source += rangeSource(lower.low - 32, lower.high - 32);
  return source;
}

function overlap(low: string, high: string, from: string, to: string): { low: number; high: number } | null {
  const start = Math.max(low.charCodeAt(0), from.charCodeAt(0));
  const end = Math.min(high.charCodeAt(0), to.charCodeAt(0));
  return start <= end ? { low: start, high: end } : null;
}

const rangeSource = (low: number, high: number) => (low === high ? hex(low) : `${hex(low)}-${hex(high)}`);
const hex = (code: number) => `\\x${code.toString(16).padStart(2, '0')}`;
const isLetter = (char: string) => /[A-Za-z]/.test(char);
