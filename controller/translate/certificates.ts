import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { isPemCutOff, pemBlocks } from '#kit/pem.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Certificate } from '#table/secret.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ObjectKey } from '../watch/view.ts';
import { problem } from './problems.ts';

/** What a TLS Secret yields: a row, or why there is none. */
export type CertificateState =
  | { type: 'good'; row: Certificate }
  | { type: 'missing' }
  /** Neither tls.crt nor tls.key: it may be there for its authorities. */
  | { type: 'absent' }
  | { type: 'malformed'; fault: string }
  | { type: 'mismatched' };

/** Reads a TLS Secret. Never throws and never repeats what the Secret holds. Expiry is judged elsewhere, by the clock given there. */
export function readCertificate(secret: ObjectOf<'Secret'> | undefined, key: ObjectKey): CertificateState {
  if (secret === undefined) return { type: 'missing' };
  const chainPem = decode(secret.data['tls.crt']);
  const keyPem = decode(secret.data['tls.key']);
  if (chainPem === '' && keyPem === '') return { type: 'absent' };
  if (chainPem === '') return { type: 'malformed', fault: 'has no tls.crt' };
  if (keyPem === '') return { type: 'malformed', fault: 'has no tls.key' };
  const leaf = attempt(() => new X509Certificate(chainPem));
  if (leaf === undefined) return { type: 'malformed', fault: 'holds no certificate in PEM form in tls.crt' };
  // Dates are not read with the rest. validToDate holds whatever was in memory where one cannot be (Node 26.10).
  const notAfterMs = Date.parse(leaf.validTo);
  if (Number.isNaN(notAfterMs)) {
    return { type: 'malformed', fault: 'holds a certificate whose end of validity is no date' };
  }
  const links = pemBlocks(chainPem, 'CERTIFICATE').map((pem) => attempt(() => new X509Certificate(pem)));
  const badLink = isPemCutOff(chainPem, 'CERTIFICATE') ? links.length : links.indexOf(undefined);
  if (badLink !== -1)
    return { type: 'malformed', fault: `holds a broken certificate at place ${badLink + 1} of tls.crt` };
  // A whole bundle of authorities, by mistake: every handshake would fail, and cost as much as seven others.
  const messageBytes = links.reduce((sum, link) => sum + (link?.raw.length ?? 0) + bytesBesideLink, bytesBesideLinks);
  if (messageBytes > mostMessageBytes) {
    return {
      type: 'malformed',
      fault: `holds ${links.length} certificates in tls.crt, a longer chain than clients take`,
    };
  }
  const privateKey = attempt(() => createPrivateKey(keyPem));
  if (privateKey === undefined) return { type: 'malformed', fault: 'holds no private key in PEM form in tls.key' };
  if (attempt(() => leaf.checkPrivateKey(privateKey)) !== true) return { type: 'mismatched' };
  if (!isSpoken(privateKey)) {
    return {
      type: 'malformed',
      fault: 'holds a key of a kind that TLS does not take (DSA, or a curve other than P-256, P-384, P-521)',
    };
  }
  // A pair that fits may still be refused: a short key, a weak digest. A proxy would refuse the whole table for it.
  if (attempt(() => createSecureContext({ cert: chainPem, key: keyPem })) === undefined) {
    return {
      type: 'malformed',
      fault: 'holds a pair that TLS refuses (a short key, a weak digest or a curve that is not spoken)',
    };
  }
  const { namespace, name } = secret.metadata;
  const row = {
    id: key,
    source: { kind: 'Secret', namespace, name },
    chainPem,
    keyPem,
    names: namesOf(leaf),
    notAfterMs,
    fingerprint: leaf.fingerprint256,
  };
  return { type: 'good', row };
}

/** The problem of a Secret that a TLS entry names, if it has one. */
export function certificateProblem(
  state: CertificateState,
  secret: ObjectKey,
  source: Source,
  nowMs: number,
): Problem | undefined {
  switch (state.type) {
    case 'missing':
      return problem('SecretNotFound', source, { secret });
    case 'absent':
      return problem('SecretMalformed', source, { secret, fault: 'has no tls.crt' });
    case 'malformed':
      return problem('SecretMalformed', source, { secret, fault: state.fault });
    case 'mismatched':
      return problem('CertificateKeyMismatch', source, { secret });
    case 'good': {
      if (nowMs <= state.row.notAfterMs) return undefined;
      const notAfter = new Date(state.row.notAfterMs).toISOString();
      return problem('CertificateExpired', source, { secret, notAfter });
    }
  }
}

/** OpenSSL and BoringSSL take no longer Certificate message of a peer. */
const mostMessageBytes = 102_400;
/** Lengths and extensions (RFC 8446 §4.4.2). */
const bytesBesideLink = 5;
const bytesBesideLinks = 4;

/** OpenSSL makes a context of any key; with those that no signature of TLS is made with, it then refuses every client. */
function isSpoken({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType !== 'ec') return asymmetricKeyType !== 'dsa';
  return spokenCurves.has(asymmetricKeyDetails?.namedCurve ?? '');
}

/** RFC 8446 §4.2.3, RFC 8734. */
const spokenCurves: ReadonlySet<string> = new Set([
  ...['prime256v1', 'secp384r1', 'secp521r1'],
  ...['brainpoolP256r1', 'brainpoolP384r1', 'brainpoolP512r1'],
]);

/** DNS names of the leaf; the common name only when there is no alternative name at all (RFC 6125 §6.4.4). */
function namesOf(leaf: X509Certificate): string[] {
  const names = (leaf.subjectAltName ?? '')
    .split(', ')
    .filter((part) => part.startsWith('DNS:'))
    .map((part) => part.slice(4).toLowerCase());
  if (leaf.subjectAltName !== undefined) return names;
  const commonName = /^CN=(.+)$/m.exec(leaf.subject ?? '')?.[1];
  return commonName === undefined ? [] : [commonName.toLowerCase()];
}

/** Text of a value of a Secret; '' when it is not there. */
export function decode(base64: string | undefined): string {
  return base64 === undefined ? '' : Buffer.from(base64, 'base64').toString('utf8').trim();
}

/** node:crypto reports malformed input by throwing; here that is a plain answer. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
