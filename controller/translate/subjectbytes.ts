/**
 * How long the subject of a certificate is in DER, as a list of authorities holds it (RFC 5280 §4.1).
 * @param certificate in DER, which node:crypto has read
 */
export function subjectBytes(certificate: Uint8Array): number {
  const signed = contentOf(certificate, contentOf(certificate, 0).at).at;
  // The version is there in all but the first one (§4.1.2.1).
  const serial = certificate[signed] === versionTag ? contentOf(certificate, signed).end : signed;
  let subject = serial;
  for (const _ of ['serial number', 'algorithm', 'issuer', 'validity']) subject = contentOf(certificate, subject).end;
  return contentOf(certificate, subject).end - subject;
}

const versionTag = 0xa0;

/** Where the content of the element at this place begins and ends: a length above 127 has bytes of its own (X.690 §8.1.3). */
function contentOf(der: Uint8Array, place: number): { at: number; end: number } {
  const first = der[place + 1] ?? 0;
  if (first < 0x80) return { at: place + 2, end: place + 2 + first };
  const at = place + 2 + (first & 0x7f);
  const length = der.subarray(place + 2, at).reduce((sum, byte) => sum * 0x100 + byte, 0);
  return { at, end: at + length };
}
