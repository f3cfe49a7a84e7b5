import { X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { TlsHandle } from './handle.ts';

/**
 * The certificate that the peer of a connection has shown, out of its session. node:tls has two ways to it, and neither is for
 * peers that are not to be trusted: getPeerCertificate() makes an object of each certificate and ends the process (SIGSEGV, Node
 * 26.10) where the key of one is on a curve that NIST has no name for, as secp256k1; getPeerX509Certificate() never frees those
 * that came with it.
 */
export function shownCertificate(handle: TlsHandle): X509Certificate | null {
  const session = handle.getSession();
  const der = session === undefined ? null : peerOf(session);
  return der === null ? null : new X509Certificate(der);
}

/**
 * What came beside it, in the order in which it was sent. Each is 4 KB that OpenSSL never gets back, see shownCertificate(): not to
 * be asked for with each connection.
 */
export function sentBeside(handle: TlsHandle): X509Certificate[] {
  const certificates: X509Certificate[] = [];
  const first = TLSSocket.prototype.getPeerX509Certificate.call({ _handle: handle } as unknown as TLSSocket);
  for (let link = first?.issuerCertificate; link !== undefined; link = link.issuerCertificate) {
    if (certificates.length === longestChain) break;
    certificates.push(link);
  }
  return certificates;
}

/** OpenSSL itself goes no further. */
export const longestChain = 100;

const sequence = 0x30;
/** `peer [3] EXPLICIT Certificate` of SSL_SESSION_ASN1. */
const peer = 0xa3;

function peerOf(session: Buffer): Buffer | null {
  const all = elementAt(session, 0);
  if (all?.tag !== sequence) return null;
  for (let at = all.start; at < all.end; ) {
    const element = elementAt(session, at);
    if (element === null) return null;
    if (element.tag === peer) return session.subarray(element.start, element.end);
    at = element.end;
  }
  return null;
}

/** DER with tags of one byte. */
function elementAt(bytes: Buffer, at: number): { tag: number; start: number; end: number } | null {
  if (at + 2 > bytes.length) return null;
  const first = bytes[at + 1] as number;
  const width = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + width;
  if (width > 4 || start > bytes.length) return null;
  const end = start + (width === 0 ? first : bytes.readUIntBE(at + 2, width));
  return end > bytes.length ? null : { tag: bytes[at] as number, start, end };
}
