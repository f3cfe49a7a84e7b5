import type { RetryCause } from '#table/route.ts';
import type { Annotation, Family } from './annotation.ts';
import { parseWaitMs, waitSyntax, wholeNumber } from './values.ts';

const scope = 'path';
const badValue = 'ignored';

/** What proxy-next-upstream says. */
export interface NextUpstream {
  on: RetryCause[];
  canRepeatUnsafe: boolean;
}

/** More tries than this are never made: `0`, which is no limit in nginx, means it, too. */
const mostTries = 16;

export const nextUpstreamSyntax =
  'a list of error timeout invalid_header http_CODE (403 404 429 500 502 503 504) non_idempotent off';
export const triesSyntax = 'a whole number, 0 or more';

/** When another endpoint is tried. */
export const retryFamily = {
  'proxy-next-upstream': {
    scope,
    badValue,
    syntax: nextUpstreamSyntax,
    default: 'error timeout',
    help: 'When another endpoint is tried: error (no connection, or closed before the response), timeout (no connection, no progress, no response head in time), invalid_header (no HTTP), or a status. POST, PATCH and LOCK that may have been processed only with non_idempotent. Never after a byte of the response has gone to the client, nor beyond a fifth of the requests and ten per second.',
    parse: parseNextUpstream,
  } satisfies Annotation<NextUpstream>,
  'proxy-next-upstream-timeout': {
    scope,
    badValue,
    syntax: waitSyntax,
    default: '0',
    help: 'Seconds after the first try in which others may begin. 0: no limit.',
    parse: parseWaitMs,
  } satisfies Annotation<number>,
  'proxy-next-upstream-tries': {
    scope,
    badValue,
    syntax: triesSyntax,
    default: '3',
    help: `Tries in all, the first included; each goes to another endpoint while there is one. 0, which means no limit in ingress-nginx, and more than ${mostTries} mean ${mostTries}.`,
    parse: parseTries,
  } satisfies Annotation<number>,
} as const satisfies Family;

const causes: Readonly<Record<string, readonly RetryCause[]>> = {
  error: ['connect', 'reset'],
  timeout: ['timeout'],
  invalid_header: ['malformed'],
  http_500: [500],
  http_502: [502],
  http_503: [503],
  http_504: [504],
  http_403: [403],
  http_404: [404],
  http_429: [429],
  non_idempotent: [],
  off: [],
};

export function parseNextUpstream(value: string): NextUpstream | undefined {
  const words = value.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0 || words.some((word) => !Object.hasOwn(causes, word))) return undefined;
  // As in nginx, nothing is tried again with `off`, whatever else is listed.
  const on = words.includes('off') ? [] : words.flatMap((word) => causes[word] ?? []);
  return { on: [...new Set(on)], canRepeatUnsafe: words.includes('non_idempotent') };
}

export function parseTries(value: string): number | undefined {
  const tries = wholeNumber(0, 1_000_000)(value);
  if (tries === undefined) return undefined;
  return tries === 0 ? mostTries : Math.min(tries, mostTries);
}
