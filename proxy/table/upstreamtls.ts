import { z } from 'zod';
import { TlsVersion } from './servertls.ts';

/** How TLS is spoken to a backend. */
export const UpstreamTls = z.object({
  /** Sent as SNI (RFC 6066 §3); null: none is sent. */
  serverName: z.string().nullable(),
  /** What the backend has to prove; null: every certificate will do. */
  verify: z
    .object({
      /** Secret row that holds the bundle of authorities; null: those that Node ships. */
      caSecretId: z.string().nullable(),
      /** The certificate must be for one of these: DNS names, IP addresses or URIs (SPIFFE). */
      names: z.array(z.string()).min(1),
      /** Most intermediate authorities between the certificate and a trusted one. */
      depth: z.int().min(0),
    })
    .nullable(),
  /** Certificate row that is shown when the backend asks for one; null: none. */
  certificateId: z.string().nullable(),
  minVersion: TlsVersion,
  maxVersion: TlsVersion,
  /** OpenSSL's list, for TLS 1.2; null: OpenSSL's own choice. */
  ciphers: z.string().nullable(),
});
export type UpstreamTls = z.infer<typeof UpstreamTls>;
