import {
  type NextUpstream,
  nextUpstreamSyntax,
  parseNextUpstream,
  parseTries,
  triesSyntax,
} from '../annotations/retry.ts';
import {
  booleanSyntax,
  decimalSecondsSyntax,
  parseBoolean,
  parseDecimalSecondsMs,
  parseWaitMs,
  waitSyntax,
} from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** How long is waited for backends, and when another endpoint is tried, where no annotation says so. */
export const timeoutKeys = {
  'proxy-connect-timeout': {
    syntax: waitSyntax,
    default: '5',
    flag: null,
    help: 'Longest wait for a connection to an endpoint. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'proxy-send-timeout': {
    syntax: waitSyntax,
    default: '60',
    flag: null,
    help: 'Longest pause between two writes to the backend. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'proxy-read-timeout': {
    syntax: waitSyntax,
    default: '60',
    flag: null,
    help: 'Longest pause between two reads from the backend. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'request-timeout': {
    syntax: decimalSecondsSyntax,
    default: '0',
    flag: null,
    help: 'Longest whole request. 0: no limit. Of Sluice alone.',
    parse: parseDecimalSecondsMs,
  } satisfies ConfigKey<number>,
  'per-try-timeout': {
    syntax: decimalSecondsSyntax,
    default: '0',
    flag: null,
    help: 'Longest wait of one try for the head of the response. 0: no limit. Of Sluice alone.',
    parse: parseDecimalSecondsMs,
  } satisfies ConfigKey<number>,
  'websocket-idle-timeout': {
    syntax: decimalSecondsSyntax,
    default: 'proxy-read-timeout',
    flag: null,
    help: 'Longest silence of a WebSocket. 0: no limit. Of Sluice alone.',
    parse: parseDecimalSecondsMs,
  } satisfies ConfigKey<number>,
  'proxy-next-upstream': {
    syntax: nextUpstreamSyntax,
    default: 'error timeout',
    flag: null,
    help: 'When another endpoint is tried.',
    parse: parseNextUpstream,
  } satisfies ConfigKey<NextUpstream>,
  'proxy-next-upstream-timeout': {
    syntax: waitSyntax,
    default: '0',
    flag: null,
    help: 'Seconds after the first try in which others may begin. 0: no limit.',
    parse: parseWaitMs,
  } satisfies ConfigKey<number>,
  'proxy-next-upstream-tries': {
    syntax: triesSyntax,
    default: '3',
    flag: null,
    help: 'Tries in all, the first included; 0, which means no limit in ingress-nginx, means 16.',
    parse: parseTries,
  } satisfies ConfigKey<number>,
  'retry-non-idempotent': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Repeats POST, PATCH and LOCK, too, whatever proxy-next-upstream says of them.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
} as const satisfies KeyFamily;
