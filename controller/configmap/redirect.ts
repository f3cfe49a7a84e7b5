import { booleanSyntax, parseBoolean } from '../annotations/values.ts';
import type { RedirectStatus } from '../translate/options.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

const path = /^\/[A-Za-z0-9\-._~/%:@!$&'()*+;=]*$/;

const prefixesSyntax = 'a list of path prefixes, with commas between them';

/** Redirects from http to https, and what both they and authentication leave alone. */
export const redirectKeys = {
  'ssl-redirect': {
    syntax: booleanSyntax,
    default: 'true',
    flag: null,
    help: 'Whether http is redirected to https where a TLS section covers the host.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'force-ssl-redirect': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'The same without any TLS section, for TLS that ends at an outer load balancer.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'http-redirect-code': {
    syntax: '301, 302, 307 or 308',
    default: '308',
    flag: '--http-redirect-code',
    help: 'Status of redirects to https.',
    parse: (value) => ([301, 302, 307, 308] as const).find((code) => String(code) === value.trim()),
  } satisfies ConfigKey<RedirectStatus>,
  'no-tls-redirect-locations': {
    syntax: prefixesSyntax,
    default: '/.well-known/acme-challenge',
    flag: null,
    help: 'Paths that are never redirected to https; empty: every path is.',
    parse: parsePrefixes,
  } satisfies ConfigKey<string[]>,
  'no-auth-locations': {
    syntax: prefixesSyntax,
    default: '/.well-known/acme-challenge',
    flag: null,
    help: 'Rules for paths below these stay open where an annotation asks for authentication, which is not honoured yet and closes the others; empty: none does.',
    parse: parsePrefixes,
    whenBad: { value: [], effect: 'no path is exempt' },
  } satisfies ConfigKey<string[]>,
} as const satisfies KeyFamily;

function parsePrefixes(value: string): string[] | undefined {
  const prefixes = value.split(',').map((prefix) => prefix.trim());
  const given = prefixes.filter((prefix) => prefix !== '');
  return given.every((prefix) => path.test(prefix)) ? given : undefined;
}
