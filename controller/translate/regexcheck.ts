import { RE2JS } from 're2js';

const longestRegex = 512;

/**
 * Whether a user's path can be matched in linear time and means the same in RE2 and in JavaScript, whose engine runs it.
 * @returns what is wrong with it, as half a sentence; undefined when nothing is
 */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > longestRegex) return `it is longer than ${longestRegex} characters`;
  // RE2 has these and JavaScript reads them as something else, or not at all.
  const foreign = /\\[AzQECaG]|\(\?P[<=>]|\[\[:|\\[pP]|\(\?[a-zA-Z-]+\)|\\x\{/.exec(pattern);
  if (foreign !== null) return `"${foreign[0]}" is not supported`;
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : 'it is malformed';
    return `it is refused (${reason})`;
  }
}

/** A path as the matcher takes it: `(?i)` is dropped, for such paths ignore case anyway. */
export function plainRegex(path: string): string {
  return path.replaceAll('(?i)', '');
}
