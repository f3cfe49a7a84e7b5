import { booleanSyntax, parseBoolean, parseInteger } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** Another of these keys may go before the flag all the same, and then the default of this one holds: who wrote "no" has to know. */
function asIfAbsent(instead: string): { value: undefined; effect: string } {
  return { value: undefined, effect: `it is as if the key were not there (with another hsts key: ${instead})` };
}

/** Strict-Transport-Security of TLS responses. */
export const hstsKeys = {
  hsts: {
    syntax: booleanSyntax,
    default: 'true with another hsts key, else false',
    flag: '--hsts',
    help: 'Whether TLS responses carry Strict-Transport-Security, in the place of what a backend says.',
    parse: parseBoolean,
    whenBad: asIfAbsent('true'),
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
    whenBad: asIfAbsent('31536000'),
  } satisfies ConfigKey<number>,
  'hsts-include-subdomains': {
    syntax: booleanSyntax,
    default: 'true',
    flag: '--hsts',
    help: 'Whether it holds for all names below the host, too.',
    parse: parseBoolean,
    whenBad: asIfAbsent('true'),
  } satisfies ConfigKey<boolean>,
  'hsts-preload': {
    syntax: booleanSyntax,
    default: 'false',
    flag: '--hsts',
    help: 'Consent to the lists that browsers are delivered with.',
    parse: parseBoolean,
    whenBad: asIfAbsent('false'),
  } satisfies ConfigKey<boolean>,
} as const satisfies KeyFamily;
