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
  #certificate: X509Certificate | null | undefined;
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
    if (this.#certificate === undefined) this.#certificate = this.#link.peerCertificate();
    return this.#certificate;
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

  #intermediatesOf(): number {
    const { certificate } = this;
    if (certificate === null) return Number.POSITIVE_INFINITY;
    this.#intermediates ??= this.trust.depths.of(certificate, () => this.#link.sentBeside());
    return this.#intermediates;
  }
}

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
