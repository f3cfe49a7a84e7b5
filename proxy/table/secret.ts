import { z } from 'zod';
import { Source } from './problem.ts';

/** Key material for TLS. Never printed: dumps leave chainPem and keyPem out. */
export const Certificate = z.object({
  /** `<ns>/<secret>`. */
  id: z.string(),
  source: Source,
  /** Leaf first. */
  chainPem: z.string(),
  keyPem: z.string(),
  /** What may be shown: DNS names of the leaf, end of validity (ms since 1970), SHA-256 fingerprint. */
  names: z.array(z.string()),
  notAfterMs: z.number(),
  fingerprint: z.string(),
});
export type Certificate = z.infer<typeof Certificate>;

/** Other secret text: CA bundles, the fleet's affinity key (fleetSecretId, base64 of 32 bytes). */
export const Secret = z.object({ id: z.string(), value: z.string() });
export type Secret = z.infer<typeof Secret>;
