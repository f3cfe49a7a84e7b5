// The X.509 library resolves its parts through decorators and asks for this before it.
import 'reflect-metadata';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';

export interface CertificatePair {
  /** PEM. */
  cert: string;
  /** PEM, PKCS #8. */
  key: string;
}

/** A self-signed certificate for DNS names, valid for a day around now. Keys are P-256. */
export async function certificateFor(names: readonly string[]): Promise<CertificatePair> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = {
    privateKey: pair.privateKey.toCryptoKey(algorithm, true, ['sign']),
    publicKey: pair.publicKey.toCryptoKey(algorithm, true, ['verify']),
  };
  const nowMs = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${names[0] ?? 'test'}`,
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(nowMs - 3_600_000),
      notAfter: new Date(nowMs + 86_400_000),
      extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))],
    },
    webcrypto as unknown as Crypto,
  );
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { cert: certificate.toString('pem'), key };
}
