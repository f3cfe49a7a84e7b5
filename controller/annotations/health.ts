import type { Annotation, Family } from './annotation.ts';
import { oneOf, parseTimeoutMs, secondsSyntax, textOf, wholeNumber } from './values.ts';

const scope = 'service';
const badValue = 'ignored';

/** How the gateway looks after the endpoints of a Service port. ingress-nginx has no such names. */
export const healthFamily = {
  'health-check-type': {
    scope,
    badValue,
    syntax: 'http, tcp or grpc',
    default: 'http with health-check-path, else none',
    help: 'Probes every endpoint: http asks for a path, tcp only connects, grpc asks grpc.health.v1.Health. The first answer of an endpoint decides at once; later it takes a few in a row.',
    parse: oneOf(['http', 'tcp', 'grpc']),
  } satisfies Annotation<'http' | 'tcp' | 'grpc'>,
  'health-check-path': {
    scope,
    badValue,
    syntax: 'a path',
    default: 'none, or / with type http',
    help: 'Path that probes of type http ask for, query and all.',
    parse: textOf(/^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]{0,1023}$/),
  } satisfies Annotation<string>,
  'health-check-method': {
    scope,
    badValue,
    syntax: 'GET, HEAD or OPTIONS',
    default: 'GET',
    help: 'Method of probes of type http.',
    parse: oneOf(['GET', 'HEAD', 'OPTIONS']),
  } satisfies Annotation<'GET' | 'HEAD' | 'OPTIONS'>,
  'health-check-host': {
    scope,
    badValue,
    syntax: 'a host name, which may have a port',
    default: 'address of the endpoint',
    help: 'Host header of probes of type http, :authority of those of type grpc.',
    parse: textOf(/^[A-Za-z0-9\-._]{1,253}(?::\d{1,5})?$/),
  } satisfies Annotation<string>,
  'health-check-expected-statuses': {
    scope,
    badValue,
    syntax: 'a comma list of statuses and ranges such as 200-299,418',
    default: '200-399',
    help: 'Answers to probes of type http that mean that the endpoint is well.',
    parse: parseStatuses,
  } satisfies Annotation<[number, number][]>,
  'health-check-grpc-service': {
    scope,
    badValue,
    syntax: 'a service name of letters, digits, . _ - and /',
    default: 'none: the server as a whole',
    help: 'Service that probes of type grpc ask for.',
    parse: textOf(/^[A-Za-z0-9._\-/]{1,255}$/),
  } satisfies Annotation<string>,
  'health-check-interval': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '10',
    help: 'Seconds between two probes of an endpoint, give or take a tenth; a new one is asked every second at first.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'health-check-timeout': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '2',
    help: 'Seconds until a probe has failed.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'health-check-unhealthy-threshold': {
    scope,
    badValue,
    syntax: 'a whole number, 1 to 100',
    default: '3',
    help: 'Failed probes in a row after which an endpoint gets no requests.',
    parse: wholeNumber(1, 100),
  } satisfies Annotation<number>,
  'health-check-healthy-threshold': {
    scope,
    badValue,
    syntax: 'a whole number, 1 to 100',
    default: '2',
    help: 'Good probes in a row after which it gets them again.',
    parse: wholeNumber(1, 100),
  } satisfies Annotation<number>,
  'slow-start': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: 'off',
    help: 'A new endpoint gets its full share of requests only after this many seconds. What goes by a hash, a balanced cookie or the address of the client (ClientIP) is at home there at once.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
} as const satisfies Family;

/** What only probes need, and which types of them; type and path ask for probes themselves. */
export const probeNames: Readonly<Partial<Record<keyof typeof healthFamily, readonly ('http' | 'tcp' | 'grpc')[]>>> = {
  'health-check-path': ['http'],
  'health-check-method': ['http'],
  'health-check-host': ['http', 'grpc'],
  'health-check-expected-statuses': ['http'],
  'health-check-grpc-service': ['grpc'],
  'health-check-interval': ['http', 'tcp', 'grpc'],
  'health-check-timeout': ['http', 'tcp', 'grpc'],
  'health-check-unhealthy-threshold': ['http', 'tcp', 'grpc'],
  'health-check-healthy-threshold': ['http', 'tcp', 'grpc'],
};

function parseStatuses(value: string): [number, number][] | undefined {
  const ranges: [number, number][] = [];
  for (const part of value.split(',')) {
    const [, from, to] = /^\s*(\d{3})(?:-(\d{3}))?\s*$/.exec(part) ?? [];
    if (from === undefined) return undefined;
    const range: [number, number] = [Number(from), Number(to ?? from)];
    if (range[0] < 100 || range[1] > 599 || range[0] > range[1]) return undefined;
    ranges.push(range);
  }
  return ranges.length > 20 ? undefined : ranges;
}
