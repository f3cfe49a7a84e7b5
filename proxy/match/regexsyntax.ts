/**
 * V8's linear engine, which takes over when a match backtracks too much, does not support every pattern. Measured: with
 * the `i` flag, or with counted repetitions that multiply to more than 16, V8 backtracks without end in spite of its flag.
 */
const mostRepetitions = 16;

/** What is known of an open group; the outermost one is the pattern itself. */
interface Group {
  /** Largest product of counted repetitions in it. */
  repetitions: number;
  /** A finished branch can match the empty text. */
  canBeEmpty: boolean;
  /** All of the current branch up to the last item can. */
  isBranchEmpty: boolean;
  readonly isCapture: boolean;
  hasBranches: boolean;
  /** As of an item. */
  hasCapture: boolean;
  mayMiss: boolean;
}

/** The item that a quantifier would repeat. */
interface Item {
  repetitions: number;
  canBeEmpty: boolean;
  isQuantified: boolean;
  hasCapture: boolean;
  /** It can match while a group of it takes no part. */
  mayMiss: boolean;
}

/**
 * Writes a pattern that RE2 accepts for V8, so that both mean the same and V8 stays linear: letters become `[aA]` where case
 * is ignored, `\s` becomes what RE2 means by it, and `.` any byte (regex.ts).
 *
 * @param pattern a string of bytes that RE2 has accepted: brackets and parentheses balance
 * @returns null when the pattern uses what only RE2 has (`\A`, `\z`, `\Q`, `\p`, `[[:alpha:]]`, inline flags, escapes by
 *   number), what V8 would backtrack on, or what the two read differently: repeating what may be empty (`(a*|b)*`), or what may
 *   leave a group out, whose text V8 forgets with the next round (`(?:(a)|b)*`)
 */
export function toV8Source(pattern: string, caseRule: 'exact' | 'ignore'): string | null {
  const reader: Reader = { pattern, at: 0, isFolding: caseRule === 'ignore', source: '' };
  const groups: Group[] = [openGroup(false)];
  let item = emptyItem();
  while (reader.at < pattern.length) {
    const char = pattern[reader.at] as string;
    const group = groups.at(-1);
    if (!group) return null;
    const count = readQuantifier(reader, item.isQuantified);
    if (count) {
      if (count.isLazyMark) continue;
      if (item.canBeEmpty || (count.isLoop && item.mayMiss)) return null;
      item.repetitions *= count.most;
      item.mayMiss ||= item.hasCapture && count.least === 0;
      item.canBeEmpty = count.least === 0;
      item.isQuantified = true;
      if (item.repetitions > mostRepetitions) return null;
      continue;
    }
    if (char === ')') {
      endBranch(group, item);
      groups.pop();
      item = itemOf(group);
      copy(reader, 1);
      continue;
    }
    if (char === '|') {
      endBranch(group, item);
      group.hasBranches = true;
      item = emptyItem();
      copy(reader, 1);
      continue;
    }
    takeItem(group, item);
    item = { ...emptyItem(), canBeEmpty: /^(?:[\^$]|\\b)/i.test(pattern.slice(reader.at)) };
    if (char === '(') {
      const isCapture = !pattern.startsWith('(?:', reader.at);
      if (!readGroupStart(reader)) return null;
      groups.push(openGroup(isCapture));
      item = emptyItem();
    } else if (!readAtom(reader, char)) {
      return null;
    }
  }
  return reader.source;
}

const openGroup = (isCapture: boolean): Group => ({
  repetitions: 1,
  canBeEmpty: false,
  isBranchEmpty: true,
  isCapture,
  hasBranches: false,
  hasCapture: false,
  mayMiss: false,
});
/** What stands at the start of a branch: nothing. */
const emptyItem = (): Item => ({
  repetitions: 1,
  canBeEmpty: true,
  isQuantified: false,
  hasCapture: false,
  mayMiss: false,
});

/** A group that is closed. */
const itemOf = (group: Group): Item => ({
  repetitions: group.repetitions,
  canBeEmpty: group.canBeEmpty,
  isQuantified: false,
  hasCapture: group.isCapture || group.hasCapture,
  mayMiss: group.mayMiss || (group.hasBranches && group.hasCapture),
});

function takeItem(group: Group, item: Item): void {
  group.hasCapture ||= item.hasCapture;
  group.mayMiss ||= item.mayMiss;
  group.repetitions = Math.max(group.repetitions, item.repetitions);
  group.isBranchEmpty = group.isBranchEmpty && item.canBeEmpty;
}

function endBranch(group: Group, item: Item): void {
  takeItem(group, item);
  group.canBeEmpty = group.canBeEmpty || group.isBranchEmpty;
  group.isBranchEmpty = true;
}

interface Reader {
  readonly pattern: string;
  at: number;
  readonly isFolding: boolean;
  source: string;
}

interface Quantifier {
  readonly least: number;
  /** How often the item is laid out: an open end counts once more than the least. */
  readonly most: number;
  /** More often than once. */
  readonly isLoop: boolean;
  /** The `?` of `+?`. */
  readonly isLazyMark: boolean;
}

const simpleQuantifiers: Readonly<Record<string, Quantifier>> = {
  '*': { least: 0, most: 1, isLoop: true, isLazyMark: false },
  '+': { least: 1, most: 1, isLoop: true, isLazyMark: false },
  '?': { least: 0, most: 1, isLoop: false, isLazyMark: false },
};
const lazyMark: Quantifier = { least: 1, most: 1, isLoop: false, isLazyMark: true };

function copy(reader: Reader, length: number): void {
  reader.source += reader.pattern.slice(reader.at, reader.at + length);
  reader.at += length;
}

/** @returns null, with nothing read, when what comes is no quantifier; a brace that is none is text */
function readQuantifier(reader: Reader, isAfterQuantifier: boolean): Quantifier | null {
  const char = reader.pattern[reader.at] as string;
  const simple = simpleQuantifiers[char];
  if (simple) {
    copy(reader, 1);
    return char === '?' && isAfterQuantifier ? lazyMark : simple;
  }
  const found = char === '{' && /^\{(\d+)(,?)(\d*)\}/.exec(reader.pattern.slice(reader.at, reader.at + 16));
  if (!found) return null;
  copy(reader, found[0].length);
  const least = Number(found[1]);
  const isOpen = found[2] === ',' && found[3] === '';
  const most = found[3] === '' ? least + Number(isOpen) : Number(found[3]);
  return { least, most: Math.max(1, most), isLoop: most > 1 || isOpen, isLazyMark: false };
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

/**
 * What any character may be, in a group of its own. In a loop behind a class, V8 14 does not look whether there is one: `^(?:[^b][^])*$`
 * matches `aaa`, and ends behind its end. It looks where another element of the pattern begins.
 */
const alone = (source: string) => `(?:${source})`;

function readAtom(reader: Reader, char: string): boolean {
  if (char === '\\') return readEscape(reader);
  if (char === '[') return readClass(reader);
  reader.at++;
  if (char === '.') reader.source += alone('[^]');
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
  reader.source += /\\[DW]/.test(source) ? alone(`${source}]`) : `${source}]`;
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
