import type { TlsVersion } from '#table/servertls.ts';
import type { Annotation, Family } from './annotation.ts';
import {
  onOffSyntax,
  parseCiphers,
  parseOnOff,
  parseSecretName,
  type SecretName,
  secretSyntax,
  textOf,
  wholeNumber,
} from './values.ts';

const scope = 'path';
const badValue = 'ignored';

const hostName = textOf(/^(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9\-._]{0,251}[A-Za-z0-9_])?$/);

/** How TLS is spoken to backends; only where backend-protocol or appProtocol asks for TLS. */
export const upstreamTlsFamily = {
  'proxy-ssl-secret': {
    scope,
    badValue: 'closes-paths',
    syntax: secretSyntax,
    default: 'none',
    help: 'Secret with what TLS to the backend needs: tls.crt and tls.key are shown when the backend asks for a certificate, ca.crt is what proxy-ssl-verify verifies by.',
    parse: parseSecretName,
  } satisfies Annotation<SecretName>,
  'proxy-ssl-verify': {
    scope,
    badValue: 'closes-paths',
    syntax: onOffSyntax,
    default: 'off',
    help: 'Whether the certificate of the backend has to lead to ca.crt of proxy-ssl-secret and be for the name of proxy-ssl-name; else 502.',
    parse: parseOnOff,
  } satisfies Annotation<boolean>,
  'proxy-ssl-verify-depth': {
    scope,
    badValue,
    syntax: 'a whole number, 0 to 100',
    default: '1',
    help: 'Most intermediate authorities between the certificate of the backend and ca.crt.',
    parse: wholeNumber(0, 100),
  } satisfies Annotation<number>,
  'proxy-ssl-name': {
    scope,
    badValue,
    syntax: 'a host name',
    default: 'upstream-vhost, else the external name or cluster name of the Service',
    help: 'Name that the certificate of the backend has to be for, and that proxy-ssl-server-name sends.',
    parse: (value) => hostName(value)?.toLowerCase(),
  } satisfies Annotation<string>,
  'proxy-ssl-server-name': {
    scope,
    badValue,
    syntax: onOffSyntax,
    default: 'off',
    help: 'Whether the name is sent to the backend (SNI).',
    parse: parseOnOff,
  } satisfies Annotation<boolean>,
  'proxy-ssl-protocols': {
    scope,
    badValue,
    syntax: 'a list of TLSv1.2 and TLSv1.3, with spaces between them',
    default: 'TLSv1.2 TLSv1.3',
    help: 'Versions of TLS that are spoken to the backend.',
    parse: parseVersions,
  } satisfies Annotation<{ min: TlsVersion; max: TlsVersion }>,
  'proxy-ssl-ciphers': {
    scope,
    badValue,
    syntax: "a list of suites in OpenSSL's form",
    default: "OpenSSL's own",
    help: 'Suites that TLS 1.2 to the backend may use; those of TLS 1.3 are always all.',
    parse: parseCiphers,
  } satisfies Annotation<string>,
} as const satisfies Family;

/** In place of the name. ingress-nginx has no such name. */
export const subjectNamesFamily = {
  'proxy-ssl-subject-names': {
    scope,
    badValue: 'closes-paths',
    syntax: 'a list of DNS names or URIs, with commas between them',
    default: 'the name of proxy-ssl-name',
    help: 'With proxy-ssl-verify: one of these must be among the subject alternative names of the certificate, as spiffe://cluster.local/ns/shop/sa/web.',
    parse: (value) => {
      const names = value.split(',').map((name) => name.trim());
      const isGood = (name: string) =>
        hostName(name) !== undefined || /^[a-z][a-z0-9+.-]*:\/\/[!-+\--~]{1,2000}$/.test(name);
      return names.every(isGood) ? names : undefined;
    },
  } satisfies Annotation<string[]>,
} as const satisfies Family;

/** Only these two words, as in ingress-nginx. */
function parseVersions(value: string): { min: TlsVersion; max: TlsVersion } | undefined {
  const words = value.split(/\s+/).filter((word) => word !== '');
  const versions = (['TLSv1.2', 'TLSv1.3'] as const).filter((version) => words.includes(version));
  const [min] = versions;
  const max = versions.at(-1);
  if (min === undefined || max === undefined || new Set(words).size > versions.length) return undefined;
  return { min, max };
}
