import type { Annotation } from './annotation.ts';
import { markdownTable } from './markdown.ts';
import { obsoleteNames } from './obsolete.ts';
import { ownNames, prefixes, registry } from './registry.ts';
import { unhonoured } from './unhonoured.ts';

const reach: Readonly<Record<Annotation<unknown>['scope'], string>> = {
  path: 'paths of the Ingress',
  host: 'the host (oldest Ingress of its namespace decides)',
  'host*': 'the whole host',
  service: 'the Service port (oldest Ingress decides)',
};

const costs: Readonly<Record<Annotation<unknown>['badValue'], string>> = {
  ignored: 'is ignored',
  'closes-paths': 'closes the paths (503)',
  'closes-host': 'closes the hosts of the namespace (503)',
  'drops-ingress': 'drops the Ingress',
};

/** The text of docs/annotations.md. */
export function annotationsDocument(): string {
  const honoured = Object.entries<Annotation<unknown>>(registry).sort(byName);
  const others = [...unhonoured].sort(byName);
  return [
    '# Annotations',
    '',
    'Generated from the registry in controller/annotations; do not edit.',
    '',
    `Annotations of an Ingress are read under ${prefixes.map((prefix) => `\`${prefix}\``).join(' and ')}; where both are there, the first wins. Names, syntaxes and reach are those of ingress-nginx. Every value that is not honoured is a problem on the Ingress.`,
    '',
    '## Honoured',
    '',
    ...markdownTable([
      ['Name', 'Value', 'Default', 'Reach', 'A bad value', 'What it does'],
      ...honoured.map(([name, { syntax, default: usual, scope, badValue, help }]) => [
        `\`${name}\``,
        syntax,
        usual,
        reach[scope],
        costs[badValue],
        help,
      ]),
    ]),
    '',
    'A host belongs to the namespace of its oldest Ingress. What Ingresses of other namespaces say of the host as a whole is not heard: a protection that the host does not have already closes their own paths (`GuestUnproven`), `app-root` counts where "/" is theirs, `use-regex` and `rewrite-target` make regular expressions of the paths of their own namespace alone, and a certificate where nobody in the namespace of the host sets TLS for it and the default one is for other names (`GuestTls`).',
    '',
    'Type and mode of affinity are those of the oldest Ingress on the Service port that sets affinity, cookie attributes those of the youngest.',
    '',
    'What is known of an endpoint is known of its address and port: one that failed too often for one Service, by the `outlier-*` of that Service, is left out for a while by all that have it.',
    '',
    `Of Sluice alone are ${ownNames.map((name) => `\`${name}\``).join(', ')}.`,
    '',
    '## Known, not honoured yet',
    '',
    'Where serving without the annotation would open what it closes, the paths answer 503 instead ("closes the paths"; in some cases only certain values do so). Values that ask for what holds anyway are no problem.',
    '',
    ...markdownTable([
      ['Name', 'Without it', 'Advice'],
      ...others.map(([name, { advice, denies, isHostWide }]) => [
        `\`${name}\``,
        isHostWide ? 'closes the hosts of the namespace' : denies('true') ? 'closes the paths' : 'served without',
        advice,
      ]),
    ]),
    '',
    '## On purpose otherwise than ingress-nginx',
    '',
    '- Without `load-balance` the endpoint with fewer requests in flight of two random ones is taken; ingress-nginx takes turns.',
    '- `appProtocol` of a Service port is honoured where `backend-protocol` is absent.',
    '- A path of an Ingress without affinity ignores the affinity cookie that another Ingress on the Service sets.',
    '- A cookie name has to be a token (RFC 6265), an `app-root` has no query and keeps that of the request, and in a cluster no endpoint is on a loopback or link-local address.',
    '- Who may not come by address is told so (403) before other redirects than that to https; lists hold for `ssl-passthrough`, too, and those of the ConfigMap for the default backend.',
    '- A timeout of 0 is no limit; nginx ends such a request at once.',
    '- A host whose `auth-tls-secret` cannot be used answers 503; in the clear, a host that demands certificates serves nothing but challenges; and a request for a host that trusts others than the host of the handshake gets 421 whichever of the two asks.',
    '- On a host that Ingresses of several namespaces share, those of the namespace that has it decide for all about client certificates, suites, TLS, passthrough and snippets; in ingress-nginx anybody who names the host does.',
    '- Where regular expressions of several namespaces meet on a host, one of a guest goes before no path of others that surely says more of the request: what it begins with counts, not the length of its text, and of two guests who say as much the older goes first. Those of the namespace that has the host go as in ingress-nginx.',
    '- `ssl-client-*` fields of clients never reach a backend; those of peers in `--trusted-proxies` do, for hosts that do not ask for certificates themselves.',
    '- `proxy-ssl-*` holds for the paths of its own Ingress, as with `proxy-ssl-location-only`. `proxy-ssl-verify` without authorities to verify by closes the paths, and the other names have their effect without `proxy-ssl-secret`, too; ingress-nginx then skips them all in silence.',
    '- `ssl-passthrough` needs no flag; where it cannot be had, the paths are closed, and by http the host is redirected to https. A request for it on a TLS connection of another host, or of before, gets 421.',
    '- An Ingress that a bad value would drop is closed (503) instead where it keeps somebody out, by address, certificate or authentication: without it, another rule for a shorter path would open what it protects.',
    '- What protects and is not honoured yet closes its paths; ingress-nginx fails open in some of these cases.',
    '',
    '## Obsolete',
    '',
    `These do nothing in ingress-nginx either: ${obsoleteNames.map((name) => `\`${name}\``).join(', ')}, \`lua-resty-waf*\`.`,
    '',
  ].join('\n');
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
