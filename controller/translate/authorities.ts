import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { ObjectOf } from '../watch/objects.ts';
import { certificatesOf, decode } from './certificates.ts';

/** What ca.crt of a Secret yields: a bundle in PEM form, or why there is none. */
export type AuthoritiesState =
  | { type: 'good'; pem: string }
  | { type: 'missing' }
  /** The Secret is there, without ca.crt. */
  | { type: 'absent' }
  | { type: 'malformed'; fault: string };

/** Reads the authorities of a Secret. Never throws. */
export function readAuthorities(secret: ObjectOf<'Secret'> | undefined): AuthoritiesState {
  if (secret === undefined) return { type: 'missing' };
  const pem = decode(secret.data['ca.crt']);
  if (pem === '') return { type: 'absent' };
  const certificates = certificatesOf(pem);
  if (certificates.length === 0) return { type: 'malformed', fault: 'holds no certificate in PEM form in ca.crt' };
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
    createSecureContext({ ca: pem });
  } catch {
    return { type: 'malformed', fault: 'holds a broken certificate in ca.crt' };
  }
  return { type: 'good', pem };
}
