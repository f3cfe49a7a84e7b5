// The X.509 library resolves its parts through decorators and asks for this before it.
import 'reflect-metadata';
import { generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  type Extension,
  type JsonName,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
import type { CertificatePair } from './certificate.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;

export interface LeafFacts {
  /** Distinguished name, as text or one element after the other; `CN=` and the first name when absent. */
  subject?: string | JsonName;
  /** DNS names, addresses and URIs. */
  names?: readonly string[];
  /** Ended an hour ago. */
  isExpired?: boolean;
}

/** An issuer of certificates, with P-256 keys. Names are valid from yesterday for two days. */
export class Authority {
  /** PEM. */
  readonly cert: string;
  /** What a peer sends beside its own certificate; '' for a root. */
  readonly chain: string;
  readonly #certificate: X509Certificate;
  readonly #key: CryptoKey;

  private constructor(certificate: X509Certificate, key: CryptoKey, chain: string) {
    this.#certificate = certificate;
    this.#key = key;
    this.cert = certificate.toString('pem');
    this.chain = chain;
  }

  static async root(name = 'Test Root'): Promise<Authority> {
    const keys = newKeys();
    const certificate = await certify(
      `CN=${name}`,
      keys.publicKey,
      `CN=${name}`,
      keys.privateKey,
      authorityExtensions(),
    );
    return new Authority(certificate, keys.privateKey, '');
  }

  async intermediate(name: string): Promise<Authority> {
    const keys = newKeys();
    const certificate = await this.#sign(`CN=${name}`, keys.publicKey, authorityExtensions());
    return new Authority(certificate, keys.privateKey, `${certificate.toString('pem')}\n${this.chain}`);
  }

  /** The pair holds the whole chain below the root. */
  async issue({ subject, names = [], isExpired = false }: LeafFacts): Promise<CertificatePair> {
    const keys = newKeys();
    const extensions =
      names.length === 0
        ? []
        : [
            new SubjectAlternativeNameExtension(
              names.map((value) => ({ type: value.includes('://') ? 'url' : isIP(value) !== 0 ? 'ip' : 'dns', value })),
            ),
          ];
    const certificate = await this.#sign(subject ?? `CN=${names[0] ?? 'test'}`, keys.publicKey, extensions, isExpired);
    return {
      cert: `${certificate.toString('pem')}\n${this.chain}`,
      key: keys.object.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
  }

  /** A certificate with our name and another key, on a curve that TLS does not know. PEM. */
  async namesake(namedCurve: string): Promise<string> {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve });
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const certificate = await this.#sign(this.#certificate.subject, der, authorityExtensions());
    return certificate.toString('pem');
  }

  /** A list of revoked certificates (PEM), in force for a day. */
  async revoke(...pairs: readonly CertificatePair[]): Promise<string> {
    const nowMs = Date.now();
    const list = await X509CrlGenerator.create(
      {
        issuer: this.#certificate.subject,
        thisUpdate: new Date(nowMs - dayMs),
        nextUpdate: new Date(nowMs + dayMs),
        entries: pairs.map(({ cert }) => ({
          serialNumber: new X509Certificate(cert).serialNumber,
          revocationDate: new Date(nowMs - 3_600_000),
        })),
        signingAlgorithm: algorithm,
        signingKey: this.#key,
      },
      webcrypto as unknown as Crypto,
    );
    // RFC 7468 §6 has another label than the library.
    return list.toString('pem').replaceAll(' CRL-----', ' X509 CRL-----').replaceAll('X509 X509', 'X509');
  }

  #sign(
    subject: string | JsonName,
    publicKey: CryptoKey | Buffer,
    extensions: Extension[],
    isExpired = false,
  ): Promise<X509Certificate> {
    return certify(subject, publicKey, this.#certificate.subject, this.#key, extensions, isExpired);
  }
}

function authorityExtensions(): Extension[] {
  return [new BasicConstraintsExtension(true, undefined, true)];
}

function newKeys(): { object: KeyObject; privateKey: CryptoKey; publicKey: CryptoKey } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    object: pair.privateKey,
    privateKey: pair.privateKey.toCryptoKey(algorithm, true, ['sign']),
    publicKey: pair.publicKey.toCryptoKey(algorithm, true, ['verify']),
  };
}

function certify(
  subject: string | JsonName,
  publicKey: CryptoKey | Buffer,
  issuer: string,
  signingKey: CryptoKey,
  extensions: Extension[],
  isExpired = false,
): Promise<X509Certificate> {
  const nowMs = Date.now();
  return X509CertificateGenerator.create(
    {
      serialNumber: `00${randomBytes(12).toString('hex')}`,
      subject,
      issuer,
      publicKey: publicKey as CryptoKey,
      signingKey,
      signingAlgorithm: algorithm,
      notBefore: new Date(nowMs - dayMs),
      notAfter: new Date(isExpired ? nowMs - 3_600_000 : nowMs + dayMs),
      extensions,
    },
    webcrypto as unknown as Crypto,
  );
}
