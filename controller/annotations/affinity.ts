import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, oneOf, parseBoolean, parseInteger, secondsSyntax, textOf } from './values.ts';

const scope = 'service';
const badValue = 'ignored';

/** Sticky sessions. Type and mode are those of the oldest Ingress that sets affinity; cookie attributes those of the youngest. */
export const affinityFamily = {
  affinity: {
    scope,
    badValue,
    syntax: 'the word cookie',
    default: 'none',
    help: 'Keeps a client on one endpoint by a cookie, on the paths of the Ingresses that set this.',
    parse: oneOf(['cookie']),
  } satisfies Annotation<'cookie'>,
  'affinity-mode': {
    scope,
    badValue,
    syntax: 'balanced or persistent',
    default: 'balanced',
    help: 'persistent: a session stays while its endpoint lives. balanced: some sessions move when endpoints change.',
    parse: oneOf(['balanced', 'persistent']),
  } satisfies Annotation<'balanced' | 'persistent'>,
  'session-cookie-name': {
    scope,
    badValue,
    syntax: 'a cookie name (letters, digits and - . _ ~)',
    default: 'INGRESSCOOKIE',
    help: 'Name of the affinity cookie.',
    // RFC 6265 §4.1.1 wants an HTTP token: "/" and ":" pass ingress-nginx's check, and browsers then drop the cookie.
    parse: textOf(/^[A-Za-z0-9\-._~]+$/),
  } satisfies Annotation<string>,
  'session-cookie-path': {
    scope,
    badValue,
    syntax: 'a path',
    default: 'path of the rule',
    help: 'Path of the affinity cookie. Set it where paths are regular expressions.',
    parse: textOf(/^\/[A-Za-z0-9\-._~/:,?&=]*$/),
  } satisfies Annotation<string>,
  'session-cookie-domain': {
    scope,
    badValue,
    syntax: 'a domain (letters, digits, - and ., with a letter or digit at the end)',
    default: 'none',
    help: 'Domain of the affinity cookie.',
    // As proxies write it; ingress-nginx takes underscores and lone dots, too, which are in no name of a host.
    parse: textOf(/^\.?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/),
  } satisfies Annotation<string>,
  'session-cookie-expires': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: 'none',
    help: 'Expires of the affinity cookie: now and that many seconds. Max-Age goes before it.',
    parse: parseAge,
  } satisfies Annotation<number>,
  'session-cookie-max-age': {
    scope,
    badValue,
    syntax: secondsSyntax,
    default: 'none',
    help: 'Max-Age of the affinity cookie. With 0 clients forget it at once, and nobody is kept anywhere.',
    parse: parseAge,
  } satisfies Annotation<number>,
  'session-cookie-samesite': {
    scope,
    badValue,
    syntax: 'None, Lax or Strict',
    default: 'none',
    help: 'SameSite of the affinity cookie.',
    parse: oneOf(['None', 'Lax', 'Strict']),
  } satisfies Annotation<'None' | 'Lax' | 'Strict'>,
  'session-cookie-conditional-samesite-none': {
    scope,
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'Leaves SameSite=None out for browsers that mishandle it.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'session-cookie-secure': {
    scope,
    badValue,
    syntax: booleanSyntax,
    default: 'Secure exactly on TLS connections',
    help: 'true: the cookie is always Secure.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'session-cookie-change-on-failure': {
    scope,
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'true: after a failed try the session moves to another endpoint and gets a new cookie.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
} as const satisfies Family;

/** What the affinity cookie looks like, apart from whether and how there is one. */
export const cookieAttributes: readonly (keyof typeof affinityFamily)[] = [
  'session-cookie-name',
  'session-cookie-path',
  'session-cookie-domain',
  'session-cookie-expires',
  'session-cookie-max-age',
  'session-cookie-samesite',
  'session-cookie-conditional-samesite-none',
  'session-cookie-secure',
  'session-cookie-change-on-failure',
];

function parseAge(value: string): number | undefined {
  const seconds = parseInteger(value.trim());
  // Later than any browser keeps a cookie, and still a date that can be written.
  return seconds === undefined || seconds < 0 || seconds > 2_147_483_647 ? undefined : seconds;
}
