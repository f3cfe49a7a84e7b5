import { RE2JS } from 're2js';
import { reasonOf } from '#kit/reason.ts';
import { toBytes } from './bytes.ts';
import { toV8Source } from './regexsyntax.ts';

/**
 * A user's pattern, ready to match strings of bytes in linear time. `.` stands for a line break, too: whoever writes
 * `/api/.+/admin` means all that lies between, and `%0a` must not lead past a rule.
 */
export interface CompiledRegex {
  test(text: string): boolean;
  /** Captures of the first match: element 0 is the whole match, '' stands for a group that took no part; null: no match. */
  captures(text: string): readonly string[] | null;
}

export interface RegexRule {
  readonly case: 'exact' | 'ignore';
  /**
   * start: begins where the text begins (paths, as ingress-nginx does). whole: also ends where it ends (field values). none:
   * anywhere in it.
   */
  readonly anchor: 'start' | 'whole' | 'none';
}

/** Longest accepted pattern, in characters. */
const longestPattern = 512;

/**
 * Why a pattern is refused, in words for its author; null when it is good. The writer of tables asks RE2 the same question,
 * so that a table is never refused here for one user's pattern.
 */
export function checkRegex(pattern: string, ignoreCase: boolean): string | null {
  if (pattern.length > longestPattern)
    return `the pattern has ${pattern.length} characters, more than ${longestPattern}`;
  try {
    RE2JS.compile(pattern, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    return null;
  } catch (error) {
    return reasonOf(error);
  }
}

/** @returns null for a pattern that checkRegex refuses */
export function compileRegex(pattern: string, rule: RegexRule): CompiledRegex | null {
  if (checkRegex(pattern, rule.case === 'ignore') !== null) return null;
  const bytes = patternBytes(pattern);
  return (isV8Linear ? compileForV8(bytes, rule) : null) ?? compileForRe2(bytes, rule);
}

let isV8Linear = false;

/**
 * Proves that this process was started with --enable-experimental-regexp-engine-on-excessive-backtracks, by a pattern on
 * which a backtracking engine takes a tenth of a second and more. Called once at start-up, before the first table; until
 * it has held, patterns are matched by re2js: safe, at about ten times the cost.
 *
 * @param used what this thread has had of a core, microseconds: on a busy machine most of the time that goes by is that of others
 */
export function regexEngineIsLinear(used: () => { user: number; system: number }): boolean {
  const text = `${'a'.repeat(25)}!`;
  // What others leave in caches costs time, too: the best of three counts.
  for (let tries = 0; tries < 3 && !isV8Linear; tries++) {
    const before = used();
    // A new source each time, because V8 keeps what it has compiled.
    new RegExp(`^(?:(a+)+)${'x?'.repeat(tries)}$`).test(text);
    const after = used();
    isV8Linear = after.user + after.system - before.user - before.system < 20_000;
  }
  return isV8Linear;
}

function compileForV8(bytes: string, rule: RegexRule): CompiledRegex | null {
  const hasFlag = bytes.startsWith('(?i)');
  const translated = toV8Source(hasFlag ? bytes.slice(4) : bytes, hasFlag ? 'ignore' : rule.case);
  if (translated === null) return null;
  try {
    const regex = new RegExp(anchored(translated, rule));
    return {
      test: (text) => regex.test(text),
      captures: (text) => regex.exec(text)?.map((group: string | undefined) => group ?? '') ?? null,
    };
  } catch {
    // What RE2 takes and V8 does not is matched by re2js.
    return null;
  }
}

function compileForRe2(bytes: string, rule: RegexRule): CompiledRegex | null {
  try {
    const regex = RE2JS.compile(bytes, RE2JS.DOTALL | (rule.case === 'ignore' ? RE2JS.CASE_INSENSITIVE : 0));
    const match = (text: string) => {
      const matcher = regex.matcher(text);
      const isFound =
        rule.anchor === 'none' ? matcher.find() : rule.anchor === 'start' ? matcher.lookingAt() : matcher.matches();
      return isFound ? matcher : null;
    };
    return {
      test: (text) => match(text) !== null,
      captures: (text) => {
        const matcher = match(text);
        if (!matcher) return null;
        return Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group) ?? '');
      },
    };
  } catch {
    return null;
  }
}

/** A character of several bytes is repeated as a whole: `é+`. In a class each of its bytes stands alone, as with nginx. */
function patternBytes(pattern: string): string {
  return pattern.replace(/\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|[^\x00-\x7f]/gsu, (part) =>
    /^[\\[]/.test(part) ? toBytes(part) : `(?:${toBytes(part)})`,
  );
}

/** The group keeps `a|b` from being anchored in its first branch only. */
const anchored = (source: string, { anchor }: RegexRule) =>
  anchor === 'none' ? source : anchor === 'start' ? `^(?:${source})` : `^(?:${source})$`;
