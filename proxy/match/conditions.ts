import type { Route, ValueMatch } from '#table/route.ts';
import { percentDecode, toBytes } from './bytes.ts';
import type { RequestFacts } from './facts.ts';
import { compileRegex } from './regex.ts';

/** What a route asks of a request beside its host and path. */
export type Condition = (facts: RequestFacts) => boolean;

/**
 * @returns the conditions of a route, all of which must hold: null when it has none (the common case, and free);
 *   'never' when one of its patterns does not compile, so that nothing may reach a route by mistake
 */
export function compileConditions(match: Route['match']): Condition | null | 'never' {
  const conditions: Condition[] = [];
  const { methods } = match;
  if (methods) conditions.push((facts) => methods.includes(facts.method));
  // Of names that are equal but for case only the first counts (Gateway API).
  const seen = new Set<string>();
  for (const header of match.headers) {
    const name = header.name.toLowerCase();
    if (seen.has(name)) continue;
    seen.add(name);
    const accepts = compileValue(header);
    if (!accepts) return 'never';
    conditions.push((facts) => accepts(facts.header(name)));
  }
  for (const parameter of match.query) {
    const accepts = compileValue(parameter);
    if (!accepts) return 'never';
    const name = toBytes(parameter.name);
    conditions.push((facts) => accepts(queryValue(facts.query, name)));
  }
  const [only] = conditions;
  if (!only) return null;
  return conditions.length === 1 ? only : (facts) => conditions.every((condition) => condition(facts));
}

/** A regex must cover the whole value: a pattern `v1` that also took `v10` would surprise more often than help. */
function compileValue(match: ValueMatch): ((value: string | undefined) => boolean) | null {
  if (match.type === 'exact') {
    const wanted = toBytes(match.value);
    return (value) => value === wanted;
  }
  const regex = compileRegex(match.value, { case: 'exact', anchor: 'whole' });
  return regex && ((value) => value !== undefined && regex.test(value));
}

/** First value of a query parameter, decoded to bytes; a value with a broken escape stays as sent. undefined: absent. */
function queryValue(query: string, name: string): string | undefined {
  if (query === '') return undefined;
  for (const part of query.split('&')) {
    const equals = part.indexOf('=');
    if (decodeQuery(equals < 0 ? part : part.slice(0, equals)) === name) {
      return equals < 0 ? '' : decodeQuery(part.slice(equals + 1));
    }
  }
  return undefined;
}

function decodeQuery(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  return percentDecode(spaced) ?? text;
}
