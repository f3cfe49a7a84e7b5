import { z } from 'zod';

/** The object, and the field of it, that a row or a problem comes from. Cluster-scoped objects have namespace ''. */
export const Source = z.object({
  kind: z.string(),
  namespace: z.string(),
  name: z.string(),
  /** Path of the field inside the object, as kubectl explain spells it: `spec.rules[0].http.paths[1].path`. */
  field: z.string().optional(),
});
export type Source = z.infer<typeof Source>;

/** Why an object or a row is not fully honoured. Shown to the person who made the object, so it says what to do. */
export const Problem = z.object({
  /** Stable, from the catalogue in controller/translate/problems.ts or proxy/receive/: `ServiceNotFound`. */
  code: z.string(),
  /** error: something is not served. warning: served, but not as written. */
  severity: z.enum(['error', 'warning']),
  source: Source,
  /** One sentence: what is wrong, with the offending value. Never holds secret material. */
  message: z.string(),
  /** One sentence: what to do about it. */
  hint: z.string(),
});
export type Problem = z.infer<typeof Problem>;
