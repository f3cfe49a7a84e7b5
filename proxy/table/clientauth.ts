import { z } from 'zod';

/** What TLS clients of a host are asked to prove. */
export const ClientAuth = z.object({
  /**
   * `require`: without a certificate that is trusted, 400. `optional`: one that is sent has to be trusted. `optional-no-ca`: every
   * one will do; the backend judges by what it is told.
   */
  mode: z.enum(['require', 'optional', 'optional-no-ca']),
  /** Secret row that holds the bundle of authorities. */
  caSecretId: z.string(),
  /** Secret row that holds lists of revoked certificates, one for each authority of a chain; null: none is looked at. */
  crlSecretId: z.string().nullable(),
  /** Most intermediate authorities between the certificate and a trusted one. */
  depth: z.int().min(0),
  /** Regular expression that the subject (RFC 2253) has to match somewhere, else 403; null: every subject will do. */
  subject: z.string().nullable(),
  /** URL that clients are sent to (302) instead of 400; null: they get 400. */
  errorPage: z.string().nullable(),
  /** Backends get the certificate itself (ssl-client-cert), and not only what was found out about it. */
  passesCertificate: z.boolean(),
  /** Prefixes of paths that are served in the clear, where nobody can prove anything: HTTP-01 challenges. */
  clearPrefixes: z.array(z.string()),
});
export type ClientAuth = z.infer<typeof ClientAuth>;
