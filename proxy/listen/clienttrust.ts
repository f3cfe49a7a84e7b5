import type { SecureContextOptions } from 'node:tls';
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
    this.options = { ca: caPem, ...(crlPem === null ? {} : { crl: listsOf(crlPem) }) };
  }
}

/** OpenSSL reads only the first list of a text. */
function listsOf(pem: string): string[] {
  return pem.match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----/g) ?? [pem];
}
