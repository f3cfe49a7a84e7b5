/**
 * What every path surely begins with that a text takes as a regular expression: a character that a quantifier may take away is not
 * certain, nor is anything where the text is one of several alternatives.
 */
export function certainOf(text: string): string {
  // What is quoted (\Q) may hold anything.
  if (text.includes('\\Q') || hasAlternatives(text)) return '';
  return /^(?:[^\\^$.|?*+()[\]{}](?![?*{]))*/.exec(text)?.[0] ?? '';
}

/** Whether a `|` stands outside of all groups. */
function hasAlternatives(text: string): boolean {
  let depth = 0;
  let isInClass = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (isInClass) isInClass = character !== ']';
    else if (character === '[') isInClass = true;
    else if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === '|' && depth <= 0) return true;
  }
  return false;
}
