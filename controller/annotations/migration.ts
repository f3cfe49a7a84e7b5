import { markdownTable } from './markdown.ts';
import { obsoleteNames } from './obsolete.ts';
import { type AnnotationName, ownNames, registry } from './registry.ts';
import { unhonoured } from './unhonoured.ts';

/** What becomes of one annotation of ingress-nginx. */
type Verdict = 'same' | 'different' | 'ignored' | 'refused';

/** Of those that are honoured: what is otherwise. */
const differences: Readonly<Partial<Record<AnnotationName, string>>> = {
  'use-regex':
    'RE2 syntax: no look-around, no back-references; such a path is left out and told, or closed where its Ingress keeps somebody out.',
  'rewrite-target': 'The same; groups come from RE2 expressions.',
  'app-root': 'Has no query, and keeps that of the request.',
  'x-forwarded-prefix': 'Groups ($1) are not filled in.',
  'ssl-passthrough': 'Needs no flag. Where it cannot be had, the paths are closed.',
  'backend-protocol': 'FCGI is answered with 503. Without the annotation, appProtocol of the Service port is honoured.',
  'load-balance': 'Without it, the endpoint with fewer requests in flight of two random ones is taken.',
  'session-cookie-name': 'Has to be a token (RFC 6265). A path without affinity ignores the cookie.',
  'auth-tls-secret': 'Where it cannot be used, the host is closed. A request for a host that trusts others gets 421.',
  'proxy-ssl-secret': 'Holds for the paths of its own Ingress, as with proxy-ssl-location-only.',
  'proxy-ssl-verify': 'Without authorities to verify by, the paths are closed.',
  'proxy-connect-timeout': '0 is no limit.',
  'proxy-read-timeout': '0 is no limit.',
  'proxy-send-timeout': '0 is no limit.',
  'proxy-next-upstream-tries': 'Retries are at most a fifth of the requests, and ten per second and worker.',
  'allowlist-source-range': '403 comes before other redirects than that to https.',
  'whitelist-source-range': '403 comes before other redirects than that to https.',
  'denylist-source-range': '403 comes before other redirects than that to https.',
};

/** Every annotation of ingress-nginx, by name: what becomes of it, and what to do. */
export function migrationTable(): string {
  const rows: (readonly [string, Verdict, string])[] = [];
  for (const name of Object.keys(registry) as AnnotationName[]) {
    if (ownNames.includes(name)) continue;
    const difference = differences[name];
    rows.push([name, difference === undefined ? 'same' : 'different', difference ?? '']);
  }
  for (const [name, { advice, denies }] of unhonoured) {
    rows.push([name, denies('true') ? 'refused' : 'ignored', advice]);
  }
  const sorted = rows.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...markdownTable([
      ['Annotation', 'Here', 'What to know'],
      ...sorted.map(([name, verdict, text]) => [`\`${name}\``, verdict, text]),
    ]),
    '',
    `Without effect in ingress-nginx, too: ${obsoleteNames.map((name) => `\`${name}\``).join(', ')}.`,
  ].join('\n');
}
