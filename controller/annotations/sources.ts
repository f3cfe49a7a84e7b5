import type { Annotation, Family } from './annotation.ts';
import { parseRanges, rangesSyntax } from './values.ts';

/** Who may come, by the client's address: behind PROXY headers and trusted proxies, that which they tell. */
export const sourceFamily = {
  'allowlist-source-range': {
    scope: 'path',
    badValue: 'closes-paths',
    isEmptyBad: true,
    syntax: rangesSyntax,
    default: 'whitelist-source-range, else the ConfigMap',
    help: 'Clients with other addresses get 403, after a redirect to https, and before any other answer.',
    parse: parseRanges,
  } satisfies Annotation<string[]>,
  'whitelist-source-range': {
    scope: 'path',
    badValue: 'closes-paths',
    syntax: rangesSyntax,
    default: 'whitelist-source-range of the ConfigMap',
    help: 'The older name of allowlist-source-range, which goes before it. 0.0.0.0/0,::/0 opens the paths to everybody.',
    parse: parseRanges,
  } satisfies Annotation<string[]>,
  'denylist-source-range': {
    scope: 'path',
    badValue: 'closes-paths',
    isEmptyBad: true,
    syntax: rangesSyntax,
    default: 'denylist-source-range of the ConfigMap',
    help: 'Clients with these addresses get 403, whether they are allowed or not.',
    parse: parseRanges,
  } satisfies Annotation<string[]>,
} as const satisfies Family;

export const sourceNames = Object.keys(sourceFamily) as (keyof typeof sourceFamily)[];
