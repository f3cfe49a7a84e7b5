import type { Annotation, Family } from './annotation.ts';
import { wholeNumber } from './values.ts';

const scope = 'service';
const badValue = 'ignored';
const syntax = 'a whole number, 0 or more';
const usual = '0';
const parse = wholeNumber(0, 1_000_000_000);

/**
 * How much each worker of each proxy may use of a Service port at once (Envoy's circuit breakers). ingress-nginx has no such
 * names.
 */
export const circuitFamily = {
  'max-connections': {
    scope,
    badValue,
    syntax,
    default: usual,
    help: 'Connections of one worker, idle ones included. Over it, requests wait for one as long as proxy-connect-timeout says, then 503. 0: no limit.',
    parse,
  } satisfies Annotation<number>,
  'max-pending-requests': {
    scope,
    badValue,
    syntax,
    default: usual,
    help: 'Requests of one worker that may wait for a connection, or for one to be opened; over it, 503 at once. 0: no limit.',
    parse,
  } satisfies Annotation<number>,
  'max-requests': {
    scope,
    badValue,
    syntax,
    default: usual,
    help: 'Requests of one worker that may be in flight, WebSockets included; over it, 503 at once. One that its client gave up counts until the backend has ended it. 0: no limit.',
    parse,
  } satisfies Annotation<number>,
  'max-retries': {
    scope,
    badValue,
    syntax,
    default: usual,
    help: 'Retries of one worker that may be in flight; over it, requests fail as they would without retries. 0: no limit but the budget.',
    parse,
  } satisfies Annotation<number>,
} as const satisfies Family;
