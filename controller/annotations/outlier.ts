import type { Annotation, Family } from './annotation.ts';
import { parseTimeoutMs, secondsSyntax, wholeNumber } from './values.ts';

const scope = 'service';
const badValue = 'ignored';
const countSyntax = 'a whole number, 0 or more';
const percentSyntax = 'a whole number of percent, 0 to 100';

/** Which endpoints of a Service port are left out for a while because of how they answer. ingress-nginx has no such names. */
export const outlierFamily = {
  'outlier-consecutive-5xx': {
    scope,
    badValue,
    syntax: countSyntax,
    default: '0',
    help: 'Answers 500 to 599, and failures of connections, in a row that eject an endpoint. 0: never for these.',
    parse: wholeNumber(0, 1_000_000),
  } satisfies Annotation<number>,
  'outlier-consecutive-gateway-errors': {
    scope,
    badValue,
    syntax: countSyntax,
    default: '5',
    help: 'Answers 502, 503 and 504, and failures of connections, in a row that eject an endpoint. 0: never for these.',
    parse: wholeNumber(0, 1_000_000),
  } satisfies Annotation<number>,
  'outlier-consecutive-local-failures': {
    scope,
    badValue,
    syntax: countSyntax,
    default: '0',
    help: 'Failures of connections in a row (none made, reset, timeout, no HTTP) that eject an endpoint. 0: never for these alone.',
    parse: wholeNumber(0, 1_000_000),
  } satisfies Annotation<number>,
  'outlier-success-rate-deviations': {
    scope,
    badValue,
    syntax: 'a number with at most three decimals, 0 to 10',
    default: 'off',
    help: 'Compares the endpoints’ share of answers below 500 in each interval: one that is so many standard deviations, and more than 5 percent, under the mean is ejected. 1.9 is usual.',
    parse: parseDeviations,
  } satisfies Annotation<number>,
  'outlier-success-rate-minimum-hosts': {
    scope,
    badValue,
    syntax: 'a whole number, 2 or more',
    default: '5',
    help: 'Endpoints with enough requests that there must be to compare. Only together with outlier-success-rate-deviations.',
    parse: wholeNumber(2, 1_000_000),
  } satisfies Annotation<number>,
  'outlier-success-rate-request-volume': {
    scope,
    badValue,
    syntax: 'a whole number, 1 or more',
    default: '100',
    help: 'Requests of one worker in an interval that an endpoint needs to be compared. Only together with outlier-success-rate-deviations.',
    parse: wholeNumber(1, 1_000_000),
  } satisfies Annotation<number>,
  'outlier-interval': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '10',
    help: 'Seconds between two comparisons. Only together with outlier-success-rate-deviations.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'outlier-base-ejection-time': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '10',
    help: 'Seconds that the first ejection lasts; the n-th lasts n times as long, and each such time spent inside forgives one.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'outlier-max-ejection-time': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: '60',
    help: 'Seconds that no ejection lasts longer than. One for want of a connection lasts two at most, and a probe that finds the endpoint well again ends any.',
    parse: parseTimeoutMs,
  } satisfies Annotation<number>,
  'outlier-max-ejection-percent': {
    scope,
    badValue,
    syntax: percentSyntax,
    default: '50',
    help: 'Share of the endpoints that may be ejected at once; one always may be. 0: none ever is.',
    parse: wholeNumber(0, 100),
  } satisfies Annotation<number>,
  'panic-threshold': {
    scope,
    badValue,
    syntax: percentSyntax,
    default: '0',
    help: 'When a smaller share of the endpoints is healthy and not ejected, all of them are used. 0: only when none is left, and those that pass their health check before the others.',
    parse: wholeNumber(0, 100),
  } satisfies Annotation<number>,
} as const satisfies Family;

/** What only the comparison of success rates needs. */
export const successRateNames: readonly (keyof typeof outlierFamily)[] = [
  'outlier-success-rate-minimum-hosts',
  'outlier-success-rate-request-volume',
  'outlier-interval',
];

function parseDeviations(value: string): number | undefined {
  if (!/^\d{1,2}(\.\d{1,3})?$/.test(value)) return undefined;
  const deviations = Number(value);
  return deviations > 10 ? undefined : deviations;
}
