import { isIP } from 'node:net';
import {
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
  rootCertificates,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import type { Certificate } from '#table/secret.ts';
import type { UpstreamTls } from '#table/upstreamtls.ts';
import { ChainDepths } from '../carry/depth.ts';
import { tlsHandleOf } from '../carry/handle.ts';
import { sentBeside, shownCertificate } from '../carry/shown.ts';

/** Rows that a profile points at; undefined: there is none of that id. */
export interface TlsMaterial {
  /** Bundle of authorities. */
  secret(id: string): string | undefined;
  certificate(id: string): Pick<Certificate, 'chainPem' | 'keyPem'> | undefined;
}

/** How the peer is spoken to and what it has to prove: options of tls.connect, but for the last. */
export interface PeerOptions {
  readonly secureContext: SecureContext;
  /** '' sends none. */
  readonly servername: string;
  readonly rejectUnauthorized: boolean;
  /** Asked when the chain leads to a trusted authority; not for resumed sessions, whose peer has been through it. null: anybody will do. */
  readonly identityFault: ((shown: TLSSocket) => Error | undefined) | null;
}

/** Equal for equal settings and material. Holds keys: only for comparing. */
export function tlsContent(row: UpstreamTls, material: TlsMaterial): string {
  return JSON.stringify([row, partsOf(row, material)]);
}

/** How TLS is spoken to backends that want it alike. One object serves all connections: a context costs 0.15 ms to build. */
export class TlsProfile {
  /** Part of the key of pools: connections and sessions are shared only where the same peer was verified in the same way. */
  readonly id = ++lastId;
  /** No backend uses it any more: what it opens is closed after its request. */
  isGone = false;
  readonly #row: UpstreamTls;
  readonly #parts: Parts;
  #options: PeerOptions | null | undefined;

  constructor(row: UpstreamTls, material: TlsMaterial) {
    this.#row = row;
    this.#parts = partsOf(row, material);
  }

  /** null: OpenSSL refuses the material, so that nothing can be opened. */
  options(): PeerOptions | null {
    if (this.#options === undefined) this.#options = optionsOf(this.#row, this.#parts);
    return this.#options;
  }
}

let lastId = 0;

/** For a backend that is to be spoken to by TLS and says no more about it. */
export const anyCertificate = new TlsProfile(
  {
    serverName: null,
    verify: null,
    certificateId: null,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: null,
  },
  { secret: () => undefined, certificate: () => undefined },
);

/** The material itself; undefined: none is asked for, or it is not there. */
interface Parts {
  readonly ca: string | undefined;
  readonly pair: { readonly chainPem: string; readonly keyPem: string } | undefined;
}

function optionsOf(row: UpstreamTls, { ca, pair }: Parts): PeerOptions | null {
  const { verify, serverName, minVersion, maxVersion, ciphers } = row;
  // An empty bundle is not for OpenSSL to see: it would take all public authorities in its place.
  if (verify?.caSecretId != null && (ca ?? '') === '') return null;
  if (row.certificateId !== null && pair === undefined) return null;
  try {
    const secureContext = createSecureContext({
      minVersion,
      maxVersion,
      ...(ca === undefined ? {} : { ca }),
      ...(pair === undefined ? {} : { cert: pair.chainPem, key: pair.keyPem }),
      ...(ciphers === null ? {} : { ciphers }),
    });
    return {
      secureContext,
      servername: serverName === null || !isSendable(serverName) ? '' : serverName,
      rejectUnauthorized: verify !== null,
      identityFault: verify === null ? null : identityCheck(verify, ca),
    };
  } catch {
    return null;
  }
}

/**
 * An address is no server name (RFC 6066 §3). One that is longer than OpenSSL takes would not be sent, either, and the error of it be
 * found by whoever reads next: the client's connection, whose request this is, ended by it.
 */
function isSendable(serverName: string): boolean {
  return isIP(serverName) === 0 && Buffer.byteLength(serverName) <= 255;
}

function partsOf({ verify, certificateId }: UpstreamTls, material: TlsMaterial): Parts {
  const certificate = certificateId === null ? undefined : material.certificate(certificateId);
  return {
    ca: verify?.caSecretId == null ? undefined : material.secret(verify.caSecretId),
    pair: certificate && { chainPem: certificate.chainPem, keyPem: certificate.keyPem },
  };
}

function identityCheck(
  { names, depth }: NonNullable<UpstreamTls['verify']>,
  ca: string | undefined,
): (shown: TLSSocket) => Error | undefined {
  const depths = depthsOf(ca);
  return (shown) => {
    const handle = tlsHandleOf(shown);
    const certificate = handle && shownCertificate(handle);
    if (!certificate) return fault('no certificate was shown', 'CERT_REJECTED');
    if (depths.of(certificate, () => sentBeside(handle)) > depth)
      return fault('too many intermediate authorities', 'CERT_CHAIN_TOO_LONG');
    const { subject, subjectAltName } = certificate;
    const named = {
      subject: { CN: commonNamesOf(subject) },
      subjectaltname: subjectAltName,
    } as unknown as PeerCertificate;
    const isNamed = names.some((name) =>
      name.includes('://')
        ? urisOf(subjectAltName ?? '').includes(name)
        : checkServerIdentity(name, named) === undefined,
    );
    return isNamed ? undefined : fault('the certificate is for another name', 'ERR_TLS_CERT_ALTNAME_INVALID');
  };
}

/** Without a bundle: from the public authorities, which are the same for all and cost some milliseconds to read. */
function depthsOf(ca: string | undefined): ChainDepths {
  if (ca !== undefined) return new ChainDepths(ca);
  publicDepths ??= new ChainDepths(rootCertificates.join('\n'));
  return publicDepths;
}

let publicDepths: ChainDepths | null = null;

function fault(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Of a subject as X509Certificate writes it, a line for each attribute. Line breaks inside a value are escaped there. */
function commonNamesOf(subject: string): string[] {
  return [...subject.matchAll(/^CN=(.*)$/gm)].map(([, name = '']) => name);
}

/** URIs of a subject alternative name as node:tls writes it: names that hold a comma or a quote are JSON strings. */
function urisOf(subjectAltName: string): string[] {
  const parts = subjectAltName.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  return parts.flatMap((part) => {
    const [, text] = /^\s*URI:(.*)$/s.exec(part) ?? [];
    if (text === undefined) return [];
    return text.startsWith('"') ? [unquoted(text)] : [text];
  });
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return '';
  }
}
