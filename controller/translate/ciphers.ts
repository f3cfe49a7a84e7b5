import { createSecureContext, type SecureContextOptions } from 'node:tls';

/** What OpenSSL has against a list of suites for TLS 1.2; undefined: nothing. */
export function cipherFault(ciphers: string): string | undefined {
  return faultOf({ ciphers });
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
