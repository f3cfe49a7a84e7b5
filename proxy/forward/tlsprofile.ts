import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext, type PeerCertificate, type SecureContext } from 'node:tls';
import type { Certificate } from '#table/secret.ts';
import type { UpstreamTls } from '#table/upstreamtls.ts';

/** Rows that a profile points at; undefined: there is none of that id. */
export interface TlsMaterial {
  /** Bundle of authorities. */
  secret(id: string): string | undefined;
  certificate(id: string): Pick<Certificate, 'chainPem' | 'keyPem'> | undefined;
}

/** Options of tls.connect that say how the peer is spoken to and what it has to prove. */
export interface PeerOptions {
  readonly secureContext: SecureContext;
  /** '' sends none. */
  readonly servername: string;
  readonly rejectUnauthorized: boolean;
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
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

  /** For tls.connect, beside the address; null: OpenSSL refuses the material, so that nothing can be opened. */
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
      // An address is no server name (RFC 6066 §3).
      servername: serverName === null || isIP(serverName) !== 0 ? '' : serverName,
      rejectUnauthorized: verify !== null,
      ...(verify === null
        ? {}
        : { checkServerIdentity: (_host: string, certificate: PeerCertificate) => identityFault(certificate, verify) }),
    };
  } catch {
    return null;
  }
}

function partsOf({ verify, certificateId }: UpstreamTls, material: TlsMaterial): Parts {
  const certificate = certificateId === null ? undefined : material.certificate(certificateId);
  return {
    ca: verify?.caSecretId == null ? undefined : material.secret(verify.caSecretId),
    pair: certificate && { chainPem: certificate.chainPem, keyPem: certificate.keyPem },
  };
}

/** Called for a chain that leads to a trusted authority; not for resumed sessions, whose peer has been through it. */
function identityFault(
  certificate: PeerCertificate,
  { names, depth }: NonNullable<UpstreamTls['verify']>,
): Error | undefined {
  if (intermediatesOf(certificate) > depth) {
    return Object.assign(new Error('too many intermediate authorities'), { code: 'CERT_CHAIN_TOO_LONG' });
  }
  const isNamed = names.some((name) =>
    name.includes('://')
      ? urisOf(certificate.subjectaltname ?? '').includes(name)
      : checkServerIdentity(name, certificate) === undefined,
  );
  if (isNamed) return undefined;
  return Object.assign(new Error('the certificate is for another name'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

/** Authorities between the certificate and the one at the end of its chain; Node offers no way to OpenSSL's own limit. */
function intermediatesOf(certificate: PeerCertificate): number {
  let count = -1;
  let link = certificate as PeerCertificate & { issuerCertificate?: PeerCertificate };
  for (let step = 0; step < longestChain; step++) {
    const issuer = link.issuerCertificate;
    if (issuer === undefined || issuer === link || issuer.fingerprint256 === link.fingerprint256) break;
    count++;
    link = issuer;
  }
  return Math.max(0, count);
}

/** OpenSSL itself goes no further than 100. */
const longestChain = 100;

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
