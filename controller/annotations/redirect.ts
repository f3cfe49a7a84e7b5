import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, parseBoolean, textOf } from './values.ts';

const badValue = 'ignored';

const appRoot = textOf(/^\/[A-Za-z0-9\-._~/:,&=]*$/);

/** Redirects that the gateway answers itself, and TLS that it leaves alone. */
export const redirectFamily = {
  'ssl-redirect': {
    scope: 'path',
    badValue,
    syntax: booleanSyntax,
    default: 'true',
    help: 'Redirects http to https (308) where a TLS section covers the host, with or without a usable Secret.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'force-ssl-redirect': {
    scope: 'path',
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'The same redirect without any TLS section, for TLS that ends at an outer load balancer.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'app-root': {
    scope: 'host*',
    badValue,
    syntax: 'an absolute path without query',
    default: 'none',
    help: 'Answers a request for exactly / on the host with 302 to this path.',
    parse: (value) => {
      const path = appRoot(value);
      // "//x" would make the Location a URL of another host.
      return path?.startsWith('//') === true ? undefined : path;
    },
  } satisfies Annotation<string>,
  'ssl-passthrough': {
    scope: 'host',
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'TLS of the host goes undecrypted to the Service of path "/"; by http everything is redirected to https. Other paths and annotations of the Ingress then mean nothing. Where the oldest Ingress of the host does not ask for it, the paths are closed (503).',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
} as const satisfies Family;
