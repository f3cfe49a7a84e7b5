import {
  booleanSyntax,
  parseBoolean,
  parseNginxTimeMs,
  parseWaitMs,
  waitSyntax,
  wholeNumber,
} from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** How long connections are kept, to clients and to backends. What is not set here is set by flags of the proxies. */
export const connectionKeys = {
  'keep-alive': {
    syntax: waitSyntax,
    default: '75',
    flag: '--limit-idle-ms',
    help: 'Seconds of silence between two requests after which a client connection is closed. 0: each is closed after one request.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'keep-alive-requests': {
    syntax: 'a whole number, 1 or more',
    default: '10000',
    flag: '--limit-requests-per-connection',
    help: 'Requests on one client connection.',
    parse: wholeNumber(1, 1_000_000_000),
  } satisfies ConfigKey<number>,
  'client-header-timeout': {
    syntax: waitSyntax,
    default: '15',
    flag: '--limit-head-ms',
    help: 'Seconds for a request head, else 408. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'client-body-timeout': {
    syntax: waitSyntax,
    default: '60',
    flag: '--limit-body-idle-ms',
    help: 'Seconds of silence inside a request body, else 408. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'use-http2': {
    syntax: booleanSyntax,
    default: 'true',
    flag: null,
    help: 'HTTP/2 beside HTTP/1.1: by ALPN on https, and on http for clients that know beforehand.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'http2-max-concurrent-streams': {
    syntax: 'a whole number from 1 to 1000',
    default: '100',
    flag: '--limit-streams',
    help: 'Requests that one HTTP/2 connection of a client may have open at once.',
    parse: wholeNumber(1, 1_000),
  } satisfies ConfigKey<number>,
  'upstream-keepalive-connections': {
    syntax: 'a whole number, 0 or more',
    default: '1024',
    flag: '--limit-upstream-idle-connections',
    help: 'Idle connections kept by each worker to each endpoint, where nginx counts those to all together. 0: none is kept.',
    parse: wholeNumber(0, 1_000_000),
  } satisfies ConfigKey<number>,
  'upstream-keepalive-requests': {
    syntax: 'a whole number, 1 or more',
    default: '10000',
    flag: '--limit-upstream-requests',
    help: 'Requests on one backend connection.',
    parse: wholeNumber(1, 1_000_000_000),
  } satisfies ConfigKey<number>,
  'upstream-keepalive-timeout': {
    syntax: waitSyntax,
    default: '60',
    flag: '--limit-upstream-idle-ms',
    help: 'Seconds that a backend connection is kept idle; a shorter Keep-Alive of the backend wins. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'upstream-keepalive-time': {
    syntax: 'a time such as 1h, 30m or 3600s',
    default: '1h',
    flag: '--limit-upstream-lifetime-ms',
    help: 'Age at which a backend connection takes no more requests. 0: no limit.',
    parse: parseNginxTimeMs,
  } satisfies ConfigKey<number>,
} as const satisfies KeyFamily;
