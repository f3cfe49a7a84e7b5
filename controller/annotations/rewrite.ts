import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, parseBoolean, textOf } from './values.ts';

const pathCapture = textOf(/^[A-Za-z0-9\-._~/:$]+$/);

/** Of nginx's variables, the groups alone: another would reach the backend as its name. */
const groupsAlone = /^(?:[^$]|\$[1-9])+$/;

/** The parts of a rewrite-target that is a URL. Only its path may hold groups. */
export function targetUrl(
  target: string,
): { scheme: 'http' | 'https'; hostname: string; port: number | null; path: string } | undefined {
  const parts = /^(https?):\/\/([A-Za-z0-9\-._]+)(?::(\d{1,5}))?(\/.*)?$/.exec(target);
  if (parts === null) return undefined;
  const [, scheme, hostname = '', digits, path = '/'] = parts;
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && (port < 1 || port > 65535)) return undefined;
  return { scheme: scheme === 'https' ? 'https' : 'http', hostname, port, path };
}

/** What the backend sees instead of the request's own path and host. */
export const rewriteFamily = {
  'rewrite-target': {
    scope: 'host*',
    badValue: 'ignored',
    syntax: 'a path of letters, digits and - . _ ~ / : with $1 to $9',
    default: 'none',
    help: "Replaces the whole path; $1 to $9 are groups of the rule's path. Turns every path of the host, on a host of another namespace every path of its own, into a case-insensitive regular expression.",
    parse: (value) => {
      const target = pathCapture(value);
      if (target === undefined || !groupsAlone.test(target)) return undefined;
      return target.startsWith('http:') || target.startsWith('https:') ? targetUrl(target) && target : target;
    },
  } satisfies Annotation<string>,
  'use-regex': {
    scope: 'host*',
    badValue: 'ignored',
    syntax: booleanSyntax,
    default: 'false',
    help: 'Paths are regular expressions, anchored at the start, without regard to case; for every Ingress on the host, on a host of another namespace for those of its own.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'x-forwarded-prefix': {
    scope: 'path',
    badValue: 'drops-ingress',
    syntax: 'a path of letters, digits and - . _ ~ / :',
    default: 'none',
    help: 'Sends X-Forwarded-Prefix, where rewrite-target is active. Groups ($1) are not filled in: such a value has no effect.',
    parse: pathCapture,
  } satisfies Annotation<string>,
  'upstream-vhost': {
    scope: 'path',
    badValue: 'ignored',
    syntax: 'a host name, which may hold $service_name, $namespace and $service_port',
    default: 'host of the request',
    help: 'Host header that the backend sees.',
    parse: textOf(/^(?:[A-Za-z0-9\-._:]|\$service_name(?!\w)|\$namespace(?!\w)|\$service_port(?!\w))+$/),
  } satisfies Annotation<string>,
} as const satisfies Family;
