import { z } from 'zod';

/** What is older is never spoken (RFC 8996). */
export const TlsVersion = z.enum(['TLSv1.2', 'TLSv1.3']);
export type TlsVersion = z.infer<typeof TlsVersion>;

/** How TLS is spoken to the clients of a listener. */
export const ServerTls = z.object({
  minVersion: TlsVersion,
  maxVersion: TlsVersion,
  /** OpenSSL's list, for TLS 1.2; null: that of Node. */
  ciphers: z.string().nullable(),
  /** Groups for the exchange of keys, best first, with colons between; null: OpenSSL's own. */
  groups: z.string().nullable(),
  /** For so long a session may be resumed, by a ticket of the fleet; 0: none is. */
  sessionSeconds: z.int().min(0),
  /** Certificate for unknown SNI, and for hosts without a usable one. null: such handshakes are refused. */
  defaultCertificateId: z.string().nullable(),
});
export type ServerTls = z.infer<typeof ServerTls>;
