import { RE2JS } from 're2js';
import { reasonOf } from '#kit/reason.ts';

const longestRegex = 512;

/**
 * Whether a user's path can be matched in linear time. The proxy compiles what passes here with the same engine's rules.
 * @returns what is wrong with it, as half a sentence; undefined when nothing is
 */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > longestRegex) return `it is longer than ${longestRegex} characters`;
  // Patterns are matched against bytes, and a class of characters has no meaning there.
  if (/[^\x00-\x7f]/.test(pattern) && pattern.includes('[')) return 'it holds both a class and characters beyond ASCII';
  try {
    RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE);
    return undefined;
  } catch (error) {
    return `it is refused (${reasonOf(error).replace(/^error parsing regexp: /, '')})`;
  }
}
