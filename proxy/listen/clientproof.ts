import type { X509Certificate } from 'node:crypto';
import type { TlsLink } from '../carry/tlslink.ts';
import type { ClientPolicy } from './clientpolicy.ts';
import type { ClientTrust } from './clienttrust.ts';
import { rfc2253 } from './distinguishedname.ts';

/**
 * What a client showed in its handshake, on a connection that was asked for it. Everything is found out when it is first asked
 * for, and then kept.
 */
export class ClientProof {
  readonly trust: ClientTrust;
  readonly #link: TlsLink;
  #chain: readonly X509Certificate[] | undefined;
  #subject: string | undefined;
  #issuer: string | undefined;
  #fault: string | undefined;
  #intermediates: number | undefined;
  #lines = '';
  /** Whose the lines are. */
  #linesPolicy: ClientPolicy | null = null;

  constructor(link: TlsLink, trust: ClientTrust) {
    this.#link = link;
    this.trust = trust;
  }

  /** null: the client has sent none. */
  get certificate(): X509Certificate | null {
    return this.#sent[0] ?? null;
  }

  /**
   * Why the certificate is not trusted, in OpenSSL's words; '' when it is.
   *
   * @param depth most authorities between it and a trusted one
   */
  fault(depth: number): string {
    this.#fault ??= this.#link.peerFault ?? 'CERT_UNTRUSTED';
    if (this.#fault !== '') return wordsByCode[this.#fault] ?? this.#fault.toLowerCase().replaceAll('_', ' ');
    return this.#intermediatesOf() > depth ? 'certificate chain too long' : '';
  }

  /** As of RFC 2253; '' without a certificate. */
  get subject(): string {
    this.#subject ??= rfc2253(this.certificate?.subject ?? '');
    return this.#subject;
  }

  get issuer(): string {
    this.#issuer ??= rfc2253(this.certificate?.issuer ?? '');
    return this.#issuer;
  }

  /** SHA-256, hexadecimal with colons; '' without a certificate. */
  get fingerprint(): string {
    return this.certificate?.fingerprint256 ?? '';
  }

  get pem(): string {
    return this.certificate?.toString() ?? '';
  }

  /** Fields for the backends of a host, made once for all requests to it that follow each other. */
  linesOf(policy: ClientPolicy): string {
    if (this.#linesPolicy !== policy) {
      this.#lines = policy.linesFor(this);
      this.#linesPolicy = policy;
    }
    return this.#lines;
  }

  get #sent(): readonly X509Certificate[] {
    this.#chain ??= this.#link.peerChain();
    return this.#chain;
  }

  #intermediatesOf(): number {
    this.#intermediates ??= intermediatesOf(this.#sent, this.trust.authorities);
    return this.#intermediates;
  }
}

/**
 * Authorities between a certificate and the root of its chain: those of the bundle first, as OpenSSL looks for them, then what the
 * client sent. node:tls has no way to OpenSSL's own limit, nor to the chain that it has verified; what it tells of the client's is
 * put together by names, which anybody can give to a certificate of his own. So each signature is checked again.
 *
 * @returns infinity when none of the bundle's roots is at the end
 */
function intermediatesOf(sent: readonly X509Certificate[], authorities: readonly X509Certificate[]): number {
  let link = sent[0];
  for (let count = 0; link !== undefined && count <= longestChain; count++) {
    const certificate: X509Certificate = link;
    const trusted = authorities.find((authority) => isIssuedBy(certificate, authority));
    if (trusted?.fingerprint256 === certificate.fingerprint256) return Math.max(0, count - 1);
    const next = sent[count + 1];
    link = trusted ?? (next !== undefined && isIssuedBy(certificate, next) ? next : undefined);
  }
  return Number.POSITIVE_INFINITY;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key of a kind that nobody here knows.
    return false;
  }
}

/** OpenSSL itself goes no further. */
const longestChain = 100;

/** nginx hands these to backends, which may look for them. */
const wordsByCode: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'certificate has expired',
  CERT_NOT_YET_VALID: 'certificate is not yet valid',
  CERT_REVOKED: 'certificate revoked',
  CERT_SIGNATURE_FAILURE: 'certificate signature failure',
  CERT_UNTRUSTED: 'certificate not trusted',
  CRL_HAS_EXPIRED: 'CRL has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed certificate',
  INVALID_CA: 'invalid CA certificate',
  INVALID_PURPOSE: 'unsuitable certificate purpose',
  PATH_LENGTH_EXCEEDED: 'path length constraint exceeded',
  SELF_SIGNED_CERT_IN_CHAIN: 'self-signed certificate in certificate chain',
  UNABLE_TO_GET_CRL: 'unable to get certificate CRL',
  UNABLE_TO_GET_ISSUER_CERT: 'unable to get issuer certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unable to get local issuer certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unable to verify the first certificate',
};
