import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { isPemCutOff, pemBlocks } from '#kit/pem.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { decode } from './certificates.ts';
import { subjectBytes } from './subjectbytes.ts';

/** What ca.crt of a Secret yields: a bundle in PEM form, with the lists of ca.crl if it has one, or why there is none. */
export type AuthoritiesState =
  | {
      type: 'good';
      pem: string;
      crl: string | null;
      count: number;
      /** Whether a server can name all of them to its clients; where servers are verified by them, nobody is told. */
      canBeNamed: boolean;
    }
  | { type: 'missing' }
  /** The Secret is there, without ca.crt. */
  | { type: 'absent' }
  | { type: 'malformed'; fault: string };

/** Reads the authorities of a Secret. Never throws. */
export function readAuthorities(secret: ObjectOf<'Secret'> | undefined): AuthoritiesState {
  if (secret === undefined) return { type: 'missing' };
  const bundle = decode(secret.data['ca.crt']);
  if (bundle === '') return { type: 'absent' };
  const certificates = pemBlocks(bundle, 'CERTIFICATE');
  if (certificates.length === 0) return { type: 'malformed', fault: 'holds no certificate in PEM form in ca.crt' };
  if (isPemCutOff(bundle, 'CERTIFICATE')) return { type: 'malformed', fault: 'holds a broken certificate in ca.crt' };
  // Of two on one line, as files without a last line break are put together, OpenSSL reads none, and says nothing.
  const pem = certificates.join('\n');
  let namesBytes = 0;
  try {
    for (const certificate of certificates)
      namesBytes += bytesBesideName + subjectBytes(new X509Certificate(certificate).raw);
    createSecureContext({ ca: pem });
  } catch {
    return { type: 'malformed', fault: 'holds a broken certificate in ca.crt' };
  }
  const good = { type: 'good', pem, count: certificates.length, canBeNamed: namesBytes <= mostNamesBytes } as const;
  const crl = decode(secret.data['ca.crl']);
  if (crl === '') return { ...good, crl: null };
  // OpenSSL reads only the first of several in one text.
  const lists = pemBlocks(crl, 'X509 CRL');
  try {
    createSecureContext({ ca: pem, crl: lists });
  } catch {
    return { type: 'malformed', fault: 'holds a broken list in ca.crl' };
  }
  if (lists.length === 0) return { type: 'malformed', fault: 'holds no list in PEM form in ca.crl' };
  if (isPemCutOff(crl, 'X509 CRL')) return { type: 'malformed', fault: 'holds a broken list in ca.crl' };
  return { ...good, crl: lists.join('\n') };
}

/** All that an extension has room for, less the length of the list in it (RFC 8446 §4.2.4). */
const mostNamesBytes = 0xffff - 2;
const bytesBesideName = 2;
