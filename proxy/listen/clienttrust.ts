import type { SecureContextOptions } from 'node:tls';
import { pemBlocks } from '#kit/pem.ts';
import { ChainDepths } from '../carry/depth.ts';

/** By whom the certificates of clients are trusted; one for all hosts that trust alike. */
export class ClientTrust {
  /** Names the bundle and not what is in it, nor who is on a list: new material takes no connection from where it is. */
  readonly key: string;
  /** For contexts of its connections. */
  readonly options: SecureContextOptions;
  /** No host uses it any more. */
  isGone = false;
  readonly depths: ChainDepths;

  constructor(key: string, caPem: string, crlPem: string | null) {
    this.key = key;
    this.depths = new ChainDepths(caPem);
    // OpenSSL reads only the first list of a text.
    this.options = { ca: caPem, ...(crlPem === null ? {} : { crl: pemBlocks(crlPem, 'X509 CRL') }) };
  }
}
