import { parseRanges, rangesSyntax } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** Who may come, where no annotation says so. An annotation takes the place of the list; they are never joined. */
export const sourceKeys = {
  'whitelist-source-range': {
    syntax: rangesSyntax,
    default: 'everybody',
    flag: null,
    help: 'Clients with other addresses get 403, on every host that has no such annotation, and from the default backend.',
    parse: (value) => (value.trim() === '' ? 'everybody' : parseRanges(value)),
    whenBad: { value: [], effect: 'nobody may come' },
  } satisfies ConfigKey<string[] | 'everybody'>,
  'denylist-source-range': {
    syntax: rangesSyntax,
    default: 'nobody',
    flag: null,
    help: 'Clients with these addresses get 403, on every host that has no such annotation, and from the default backend.',
    parse: (value) => (value.trim() === '' ? [] : parseRanges(value)),
    whenBad: { value: ['0.0.0.0/0', '::/0'], effect: 'nobody may come' },
  } satisfies ConfigKey<string[]>,
} as const satisfies KeyFamily;
