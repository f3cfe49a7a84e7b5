import { createSecureContext } from 'node:tls';

/** What OpenSSL has against a list of suites for TLS 1.2; undefined: nothing. */
export function cipherFault(ciphers: string): string | undefined {
  try {
    createSecureContext({ ciphers });
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'refused';
  }
}
