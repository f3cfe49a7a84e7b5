import { regexFault } from '../translate/regexcheck.ts';
import type { Annotation, Family } from './annotation.ts';
import {
  booleanSyntax,
  oneOf,
  parseBoolean,
  parseCiphers,
  parseSecretName,
  type SecretName,
  secretSyntax,
  textOf,
  wholeNumber,
} from './values.ts';

const scope = 'host';

const errorPage = textOf(/^https?:\/\/[A-Za-z0-9\-._~/:?&=,%]{1,2000}$/);

/** Certificates of clients. */
export const clientAuthFamily = {
  'auth-tls-secret': {
    scope,
    badValue: 'closes-host',
    syntax: secretSyntax,
    default: 'none',
    help: 'Clients of the host are asked for a certificate, which has to lead to ca.crt of this Secret and must not be on the lists of ca.crl, if there are any. The backend is told ssl-client-verify, ssl-client-subject-dn and ssl-client-issuer-dn.',
    parse: parseSecretName,
  } satisfies Annotation<SecretName>,
  'auth-tls-verify-client': {
    scope,
    badValue: 'ignored',
    syntax: 'on, off, optional or optional_no_ca',
    default: 'on',
    help: 'on: without a trusted certificate, 400. optional: one that is sent has to be trusted. optional_no_ca: it need not be. off: none is asked for. Only together with auth-tls-secret.',
    parse: oneOf(['on', 'off', 'optional', 'optional_no_ca']),
  } satisfies Annotation<'on' | 'off' | 'optional' | 'optional_no_ca'>,
  'auth-tls-verify-depth': {
    scope,
    badValue: 'ignored',
    syntax: 'a whole number, 0 to 100',
    default: '1',
    help: 'Most intermediate authorities between the certificate of the client and ca.crt. 0 means 1, as in ingress-nginx.',
    parse: (value) => {
      const depth = wholeNumber(0, 100)(value);
      return depth === 0 ? 1 : depth;
    },
  } satisfies Annotation<number>,
  'auth-tls-error-page': {
    scope,
    badValue: 'ignored',
    syntax: 'a URL of http or https',
    default: 'none',
    help: 'Clients without a trusted certificate are sent there (302) instead of getting 400.',
    parse: errorPage,
  } satisfies Annotation<string>,
  'auth-tls-pass-certificate-to-upstream': {
    scope,
    badValue: 'ignored',
    syntax: booleanSyntax,
    default: 'false',
    help: 'Whether the backend gets the certificate itself, too: ssl-client-cert, in PEM form, percent-encoded.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'auth-tls-match-cn': {
    scope,
    badValue: 'closes-host',
    syntax: 'CN= and a regular expression that matches in linear time',
    default: 'none',
    help: 'The subject of the certificate has to match somewhere (CN=alice,OU=shop,O=Acme), else 403.',
    parse: (value) => {
      const pattern = value.trim();
      return pattern.startsWith('CN=') && regexFault(pattern) === undefined ? pattern : undefined;
    },
  } satisfies Annotation<string>,
} as const satisfies Family;

/** Suites of TLS with clients. */
export const suitesFamily = {
  'ssl-ciphers': {
    scope,
    badValue: 'drops-ingress',
    syntax: "a list of suites in OpenSSL's form",
    default: 'ssl-ciphers of the ConfigMap',
    help: 'Suites that TLS 1.2 may use for the host; those of TLS 1.3 are always all.',
    parse: parseCiphers,
  } satisfies Annotation<string>,
} as const satisfies Family;
