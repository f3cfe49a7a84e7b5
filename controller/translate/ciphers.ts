import { createSecureContext, type SecureContextOptions } from 'node:tls';

/** What OpenSSL has against a list of suites for TLS 1.2; undefined: nothing. */
export function cipherFault(ciphers: string): string | undefined {
  return faultOf({ ciphers });
}

/** A list may raise the level of security (@SECLEVEL) above what a pair has; a context of both is refused then. */
export function takesPair(ciphers: string, { chainPem, keyPem }: { chainPem: string; keyPem: string }): boolean {
  return faultOf({ ciphers, cert: chainPem, key: keyPem }) === undefined;
}

/** What it has against a list of groups for the exchange of keys. */
export function groupFault(ecdhCurve: string): string | undefined {
  return faultOf({ ecdhCurve });
}

function faultOf(options: SecureContextOptions): string | undefined {
  try {
    createSecureContext(options);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'refused';
  }
}
