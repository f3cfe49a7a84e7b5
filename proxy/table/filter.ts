import { z } from 'zod';
import { Compression } from './compression.ts';
import { SourceRanges } from './sources.ts';

const HeaderValue = z.object({ name: z.string(), value: z.string() });

/** Changes of header fields. Order of effect: remove, set, add. Names are matched without regard to case. */
const HeaderEdits = z.object({
  set: z.array(HeaderValue),
  add: z.array(HeaderValue),
  remove: z.array(z.string()),
});

/** How a path is replaced. Queries are kept. */
export const PathRewrite = z.discriminatedUnion('type', [
  /** The whole path becomes `value`. */
  z.object({ type: z.literal('full'), value: z.string() }),
  /** The part that the route's path match covered becomes `value` (Gateway API ReplacePrefixMatch). */
  z.object({ type: z.literal('prefix'), value: z.string() }),
  /** The route's regex is applied; `$1`…`$9` in `value` are its captures; the whole path becomes the result (ingress-nginx rewrite-target). */
  z.object({ type: z.literal('captures'), value: z.string() }),
]);
export type PathRewrite = z.infer<typeof PathRewrite>;

/** One step of a route between match and forward. The order of effect is that of proxy/filters/order.ts, not of the list. */
export const Filter = z.discriminatedUnion('type', [
  /** http → https on the same host and target, unless the path starts with one of `exceptPrefixes`. */
  z.object({
    type: z.literal('https-redirect'),
    status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]),
    exceptPrefixes: z.array(z.string()),
  }),
  /** 403 for clients that may not come. The address is that behind trusted proxies. */
  z.object({ type: z.literal('source-ranges'), sources: SourceRanges }),
  /** Answer with a redirect. null keeps that part of the request's own URL. */
  z.object({
    type: z.literal('redirect'),
    scheme: z.enum(['http', 'https']).nullable(),
    hostname: z.string().nullable(),
    port: z.int().min(1).max(65535).nullable(),
    path: PathRewrite.nullable(),
    status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]),
  }),
  /** What the backend sees instead of the request's own host and path. */
  z.object({ type: z.literal('rewrite'), hostname: z.string().nullable(), path: PathRewrite.nullable() }),
  z.object({ type: z.literal('request-headers'), edits: HeaderEdits }),
  z.object({ type: z.literal('response-headers'), edits: HeaderEdits }),
  /** In place of the listener's. */
  z.object({ type: z.literal('compression'), compression: Compression }),
  /** In place of what the listener says; null: as there. */
  z.object({ type: z.literal('tracing'), isOn: z.boolean().nullable(), continues: z.boolean().nullable() }),
]);
export type Filter = z.infer<typeof Filter>;
export type HeaderEdits = z.infer<typeof HeaderEdits>;
