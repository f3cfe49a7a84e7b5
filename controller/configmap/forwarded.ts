import { booleanSyntax, parseBoolean, parseRanges, rangesSyntax } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** Whose X-Forwarded-* fields are believed. */
export const forwardedKeys = {
  'use-forwarded-headers': {
    syntax: booleanSyntax,
    default: 'false',
    flag: '--trusted-proxies',
    help: 'Whether X-Forwarded-For, -Proto, -Host and -Port of the peers in proxy-real-ip-cidr are believed.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'proxy-real-ip-cidr': {
    syntax: rangesSyntax,
    default: '0.0.0.0/0, ::/0',
    flag: '--trusted-proxies',
    help: 'The peers that are believed when use-forwarded-headers is true, and that may send PROXY headers where these are taken. Without the key that is everybody, and of --trusted-proxies those that are believed: name your load balancers.',
    parse: (value) => {
      const given = value.split(',').filter((range) => range.trim() !== '');
      return given.length === 0 ? [] : parseRanges(given.join(','));
    },
    whenBad: { value: [], effect: 'nobody is believed' },
  } satisfies ConfigKey<string[]>,
} as const satisfies KeyFamily;
