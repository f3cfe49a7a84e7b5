/**
 * What every path surely begins with that a text takes as a regular expression: a character that a quantifier may take away is not
 * certain, nor is anything where the text is one of several alternatives.
 */
export function certainOf(text: string): string {
  return isVague(text) ? '' : (/^(?:[^\\^$.|?*+()[\]{}](?![?*{]))*/u.exec(text)?.[0] ?? '');
}

/**
 * How many bytes of a path a text surely says, from the beginning on: those that are certain, and those after a dot that stands
 * for one character, as in "/.well-known/" where nobody meant an expression.
 */
export function saidBy(text: string): number {
  if (isVague(text)) return 0;
  const [beginning = ''] = /^(?:[^\\^$|?*+()[\]{}](?![?*{]))*/u.exec(text) ?? [];
  return Buffer.byteLength(beginning.replaceAll('.', ''));
}

/** Nothing is certain: what is quoted (\Q) may hold anything, and one of several alternatives need not be. */
function isVague(text: string): boolean {
  if (text.includes('\\Q')) return true;
  // A bracket that comes first in a class belongs to it, as does a class with a name.
  const plain = text.replace(/\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]/gsu, '');
  let depth = 0;
  for (const character of plain) {
    if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === '|' && depth <= 0) return true;
  }
  return false;
}
