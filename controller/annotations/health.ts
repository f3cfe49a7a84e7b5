import type { Annotation, Family } from './annotation.ts';
import { parseTimeoutMs, secondsSyntax, textOf } from './values.ts';

const scope = 'service';
const badValue = 'ignored';

/** How the gateway looks after the endpoints of a Service port. ingress-nginx has no such names. */
export const healthFamily = {
  'health-check-path': {
    scope,
    badValue,
    syntax: 'a path',
    default: 'none',
    help: 'Probes every endpoint with a GET of this path; one that does not answer 200 to 399 three times in a row gets no requests until it answers twice in a row.',
    parse: textOf(/^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]{0,1023}$/),
  } satisfies Annotation<string>,
  'health-check-interval': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '10',
    help: 'Seconds between two probes of an endpoint. Only together with health-check-path.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'health-check-timeout': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '2',
    help: 'Seconds until a probe has failed. Only together with health-check-path.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'slow-start': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: 'off',
    help: 'A new endpoint gets its full share of requests only after this many seconds.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
} as const satisfies Family;
