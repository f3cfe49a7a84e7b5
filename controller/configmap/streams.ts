import { parseTries, triesSyntax } from '../annotations/retry.ts';
import { booleanSyntax, parseBoolean, parseInteger, parseNginxTimeMs, wholeNumber } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

const countSyntax = 'a whole number above 0';
const durationSyntax = 'a time like 600s, 10m or 1h30m';

/** PROXY headers, and what is carried unread. */
export const streamKeys = {
  'use-proxy-protocol': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Whether every connection to http and https begins with a PROXY header (version 1 or 2). Only the peers in proxy-real-ip-cidr may connect then.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'proxy-protocol-header-timeout': {
    syntax: durationSyntax,
    default: '5s',
    flag: null,
    help: 'Longest wait for a PROXY header.',
    parse: (value) => {
      const ms = parseNginxTimeMs(value);
      return ms === 0 ? undefined : ms;
    },
  } satisfies ConfigKey<number>,
  'proxy-stream-timeout': {
    syntax: durationSyntax,
    default: '600s; 60s for UDP',
    flag: null,
    help: 'When a TCP connection or UDP flow in which nothing moves ends. 0: never.',
    parse: parseNginxTimeMs,
  } satisfies ConfigKey<number>,
  'proxy-stream-next-upstream': {
    syntax: booleanSyntax,
    default: 'true',
    flag: null,
    help: 'Whether another endpoint is tried when one does not take a TCP connection.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'proxy-stream-next-upstream-timeout': {
    syntax: durationSyntax,
    default: '600s',
    flag: null,
    help: 'Time after the first try in which others may begin. 0: no limit.',
    parse: parseNginxTimeMs,
  } satisfies ConfigKey<number>,
  'proxy-stream-next-upstream-tries': {
    syntax: triesSyntax,
    default: '3',
    flag: null,
    help: 'Tries in all, the first included. 0 means as many as are ever made, 16.',
    parse: parseTries,
  } satisfies ConfigKey<number>,
  'proxy-stream-responses': {
    syntax: 'a whole number, 0 or more',
    default: 'none',
    flag: null,
    help: 'A UDP flow ends after so many datagrams of the backend for each of the client. Without it, a client keeps its endpoint until it falls silent.',
    parse: (value) => {
      const count = parseInteger(value);
      return count === undefined || count < 0 ? undefined : count;
    },
  } satisfies ConfigKey<number>,
  'max-udp-flows': {
    syntax: countSyntax,
    default: 'none',
    flag: null,
    help: 'UDP clients that a worker hears at a time on each port; datagrams of further ones are dropped. Beside `--limit-udp-flows`, which is for all ports together.',
    parse: wholeNumber(1, 1_000_000_000),
  } satisfies ConfigKey<number>,
  'max-udp-flows-per-source': {
    syntax: countSyntax,
    default: 'none',
    flag: null,
    help: 'Of these, those of one IPv4 address or IPv6 /64. Beside `--limit-udp-flows-per-source`.',
    parse: wholeNumber(1, 1_000_000_000),
  } satisfies ConfigKey<number>,
} as const satisfies KeyFamily;
