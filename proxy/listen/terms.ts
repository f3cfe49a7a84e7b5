import { createHash } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { ClientTrust } from './clienttrust.ts';

/** What handshakes are made with where a host wants them otherwise than its listener; one for all hosts that want them alike. */
export class Terms {
  /** By whom the certificate is to be trusted that clients are asked for; null: they are not asked. */
  readonly trust: ClientTrust | null;
  /**
   * Goes into the sessions of these connections: OpenSSL resumes one only where the same is named, so that no proof given to
   * one host, or before a certificate was revoked, counts for another or afterwards (CVE-2025-23419 was that, in nginx).
   */
  readonly sessionIdContext: string;
  /** For contexts of these connections, over what the listener says. */
  readonly options: SecureContextOptions;
  /** No host wants them any more. */
  isGone = false;

  /**
   * @param content equal for equal terms and material
   * @param ciphers OpenSSL's list for TLS 1.2; null: that of the listener
   */
  constructor(content: string, trust: ClientTrust | null, ciphers: string | null) {
    this.trust = trust;
    this.sessionIdContext = digestOf(content);
    this.options = { ...trust?.options, ...(ciphers === null ? {} : { ciphers }) };
  }
}

/** As long as what OpenSSL takes for a context of sessions. */
export function digestOf(content: string): string {
  return createHash('sha256').update(content).digest('base64').slice(0, 32);
}
