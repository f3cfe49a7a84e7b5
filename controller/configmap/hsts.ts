import { booleanSyntax, parseBoolean, parseInteger } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** Another of these keys may go before the flag all the same, and then the default of this one holds. */
const whenBad = { value: undefined, effect: 'it is as if the key were not there' } as const;

/** Strict-Transport-Security of TLS responses. */
export const hstsKeys = {
  hsts: {
    syntax: booleanSyntax,
    default: 'true with another hsts key, else false',
    flag: '--hsts',
    help: 'Whether TLS responses carry Strict-Transport-Security, in the place of what a backend says.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'hsts-max-age': {
    syntax: 'a whole number of seconds without a unit',
    default: '31536000',
    flag: '--hsts',
    help: 'How long browsers remember to come by https only.',
    parse: (value) => {
      const seconds = parseInteger(value);
      return seconds === undefined || seconds < 0 ? undefined : seconds;
    },
    whenBad,
  } satisfies ConfigKey<number>,
  'hsts-include-subdomains': {
    syntax: booleanSyntax,
    default: 'true',
    flag: '--hsts',
    help: 'Whether it holds for all names below the host, too.',
    parse: parseBoolean,
    whenBad,
  } satisfies ConfigKey<boolean>,
  'hsts-preload': {
    syntax: booleanSyntax,
    default: 'false',
    flag: '--hsts',
    help: 'Consent to the lists that browsers are delivered with.',
    parse: parseBoolean,
    whenBad,
  } satisfies ConfigKey<boolean>,
} as const satisfies KeyFamily;
