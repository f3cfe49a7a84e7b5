// The X.509 library resolves its parts through decorators and asks for this before it.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** PEM of a certificate and its PKCS #8 key. */
export interface KeyPair {
  certPem: string;
  keyPem: string;
}

/** A new authority for the table stream: it signs the controllers' certificates and nothing else. */
export async function makeAuthority(nowMs: number): Promise<KeyPair> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.create({
    ...validity(nowMs, 3_650),
    subject: 'CN=Sluice table stream authority',
    issuer: 'CN=Sluice table stream authority',
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certPem: certificate.toString('pem'), keyPem: await keyToPem(keys.privateKey) };
}

/** A server certificate for `names` (DNS names and addresses), good for `days`. */
export async function signLeaf(
  authority: KeyPair,
  names: readonly string[],
  days: number,
  nowMs: number,
): Promise<KeyPair> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.create({
    ...validity(nowMs, days),
    subject: `CN=${names[0] ?? 'sluice'}`,
    issuer: new X509Certificate(authority.certPem).subject,
    publicKey: keys.publicKey,
    signingKey: await keyFromPem(authority.keyPem),
    signingAlgorithm,
    extensions: leafExtensions(names),
  });
  return { certPem: certificate.toString('pem'), keyPem: await keyToPem(keys.privateKey) };
}

/** What clients get whose host has no certificate: nobody trusts it, but the handshake works and its name says why. */
export async function makeDefaultCertificate(nowMs: number): Promise<KeyPair> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.create({
    ...validity(nowMs, 3_650),
    subject: 'CN=Sluice default certificate,O=Sluice',
    issuer: 'CN=Sluice default certificate,O=Sluice',
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm,
    extensions: leafExtensions(['default.sluice.invalid']),
  });
  return { certPem: certificate.toString('pem'), keyPem: await keyToPem(keys.privateKey) };
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
const dayMs = 86_400_000;
/** Clocks of machines differ; a certificate that is valid only from now on would be refused by those that are late. */
const backdateMs = 3_600_000;

cryptoProvider.set(webcrypto as Crypto);

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

function validity(nowMs: number, days: number): { serialNumber: string; notBefore: Date; notAfter: Date } {
  // RFC 5280 §4.1.2.2: positive, at most 20 octets; a leading 0x01 keeps the sign bit clear.
  const serialNumber = `01${randomBytes(15).toString('hex')}`;
  return { serialNumber, notBefore: new Date(nowMs - backdateMs), notAfter: new Date(nowMs + days * dayMs) };
}

function leafExtensions(names: readonly string[]): Extension[] {
  const alternatives = names.map((name) =>
    isIP(name) > 0 ? ({ type: 'ip', value: name } as const) : ({ type: 'dns', value: name } as const),
  );
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(alternatives),
  ];
}

async function keyToPem(key: CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function keyFromPem(pem: string): Promise<CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), keyAlgorithm, false, ['sign']);
}
