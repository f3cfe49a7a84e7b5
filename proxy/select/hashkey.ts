import { assertNever } from '#kit/assert.ts';
import type { HashPart } from '#table/backend.ts';
import { cookieValues } from './cookie.ts';
import type { PickFacts } from './types.ts';

/**
 * The text that a consistent hash is taken of.
 *
 * @returns '' when the request has none of the parts. Such requests are spread, as nginx does: hashed like any other
 *   text they would all land on one endpoint
 */
export function hashKey(parts: readonly HashPart[], facts: PickFacts): string {
  let key = '';
  let isFound = false;
  for (const part of parts) {
    const text = textOf(part, facts);
    if (part.type !== 'text' && text !== '') isFound = true;
    key += text;
  }
  return isFound ? key : '';
}

function textOf(part: HashPart, facts: PickFacts): string {
  switch (part.type) {
    case 'header':
      return facts.header(part.name.toLowerCase()) ?? '';
    case 'cookie':
      return cookieValues(facts.header('cookie'), part.name)[0] ?? '';
    case 'query':
      return queryValue(facts.query, part.name);
    case 'source':
      return facts.clientAddress;
    case 'target':
      return facts.target;
    case 'path':
      return facts.path;
    case 'host':
      return facts.hostname;
    case 'text':
      return part.value;
    default:
      return assertNever(part, 'hash part');
  }
}

/** The first parameter of that name as sent, not decoded: only sameness matters here. */
function queryValue(query: string, name: string): string {
  for (const pair of query.split('&')) {
    if (pair.startsWith(name) && pair[name.length] === '=') return pair.slice(name.length + 1);
  }
  return '';
}
