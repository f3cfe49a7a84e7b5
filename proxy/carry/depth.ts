import { X509Certificate } from 'node:crypto';
import { pemBlocks } from '#kit/pem.ts';
import { longestChain } from './shown.ts';

const mostRemembered = 10_000;

/**
 * How far certificates that OpenSSL has found to be trusted are from the roots of a bundle. node:tls has no way to OpenSSL's own
 * limit, nor to the chain that it has verified, so each signature is checked again; once for a certificate, because what was sent
 * beside it is not to be had often.
 */
export class ChainDepths {
  readonly #bundle: string;
  /** By fingerprint. */
  readonly #depths = new Map<string, number>();
  #authorities: readonly X509Certificate[] | null = null;

  /** @param bundle PEM */
  constructor(bundle: string) {
    this.#bundle = bundle;
  }

  /**
   * Authorities between a certificate and the root of its chain: those of the bundle first, as OpenSSL looks for them, then what
   * was sent.
   *
   * @param sent only called where the bundle alone does not say it
   * @returns infinity when none of the bundle's roots is at the end
   */
  of(leaf: X509Certificate, sent: () => X509Certificate[]): number {
    const known = this.#depths.get(leaf.fingerprint256);
    if (known !== undefined) return known;
    const depth = this.#find(leaf, sent);
    if (this.#depths.size === mostRemembered) this.#depths.clear();
    this.#depths.set(leaf.fingerprint256, depth);
    return depth;
  }

  #find(leaf: X509Certificate, sent: () => X509Certificate[]): number {
    this.#authorities ??= pemBlocks(this.#bundle, 'CERTIFICATE').map((pem) => new X509Certificate(pem));
    let beside: X509Certificate[] | null = null;
    let link: X509Certificate | undefined = leaf;
    for (let count = 0; link !== undefined && count <= longestChain; count++) {
      const certificate: X509Certificate = link;
      const trusted = this.#authorities.find((authority) => isIssuedBy(certificate, authority));
      if (trusted?.fingerprint256 === certificate.fingerprint256) return Math.max(0, count - 1);
      if (trusted === undefined) beside ??= sent();
      link = trusted ?? takeIssuer(certificate, beside ?? []);
    }
    return Number.POSITIVE_INFINITY;
  }
}

/** Names say nothing, for anybody can give them to a certificate of his own; who has not signed is looked at once. */
function takeIssuer(certificate: X509Certificate, beside: X509Certificate[]): X509Certificate | undefined {
  for (;;) {
    const index = beside.findIndex((each) => certificate.checkIssued(each));
    if (index === -1) return undefined;
    const [issuer] = beside.splice(index, 1);
    if (issuer !== undefined && isIssuedBy(certificate, issuer)) return issuer;
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key of a kind that nobody here knows.
    return false;
  }
}
