import type { Annotation, Family } from './annotation.ts';
import { decimalSecondsSyntax, parseDecimalSecondsMs, parseWaitMs, waitSyntax } from './values.ts';

const scope = 'path';
const badValue = 'ignored';

/** How long is waited for a backend, with the names and syntax of ingress-nginx. */
export const proxyTimeoutFamily = {
  'proxy-connect-timeout': {
    scope,
    badValue,
    syntax: waitSyntax,
    default: '5',
    help: 'Longest wait for a connection to an endpoint; then another is tried, else 504. 0: no limit.',
    parse: parseWaitMs,
  } satisfies Annotation<number>,
  'proxy-send-timeout': {
    scope,
    badValue,
    syntax: waitSyntax,
    default: '60',
    help: 'Longest pause between two writes to the backend, else 504. 0: no limit.',
    parse: parseWaitMs,
  } satisfies Annotation<number>,
  'proxy-read-timeout': {
    scope,
    badValue,
    syntax: waitSyntax,
    default: '60',
    help: 'Longest pause between two reads from the backend, else 504; idle WebSockets end by it, too, where websocket-idle-timeout says nothing. 0: no limit.',
    parse: parseWaitMs,
  } satisfies Annotation<number>,
} as const satisfies Family;

/** What ingress-nginx has no names for. */
export const deadlineFamily = {
  'request-timeout': {
    scope,
    badValue,
    syntax: decimalSecondsSyntax,
    default: '0',
    help: 'Longest whole request, from the end of its head to the last byte of the response, retries and all; then 504, or the response is cut off. 0: no limit.',
    parse: parseDecimalSecondsMs,
  } satisfies Annotation<number>,
  'per-try-timeout': {
    scope,
    badValue,
    syntax: decimalSecondsSyntax,
    default: '0',
    help: 'Longest wait of one try for the head of the response; then another endpoint is tried (see proxy-next-upstream), else 504. 0: no limit.',
    parse: parseDecimalSecondsMs,
  } satisfies Annotation<number>,
  'websocket-idle-timeout': {
    scope,
    badValue,
    syntax: decimalSecondsSyntax,
    default: 'proxy-read-timeout',
    help: 'Longest silence of a WebSocket, both sides together. 0: no limit.',
    parse: parseDecimalSecondsMs,
  } satisfies Annotation<number>,
} as const satisfies Family;
