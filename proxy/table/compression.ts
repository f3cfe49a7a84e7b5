import { z } from 'zod';

/** Which responses are compressed on their way to the client, and how. */
const applies = {
  /** Media types, lower case, without parameters; `text/*` stands for all of a type, `*` for every one. */
  types: z.array(z.string()),
  /** Shorter bodies go as they are, where their length is known. */
  minBytes: z.int().min(0),
};

/** Encodings, best first; of those that the client accepts with the same weight the first is taken. Empty: none. */
export const Compression = z.array(
  z.discriminatedUnion('name', [
    z.object({ name: z.literal('gzip'), level: z.int().min(1).max(9), ...applies }),
    z.object({ name: z.literal('br'), level: z.int().min(0).max(11), ...applies }),
    z.object({ name: z.literal('zstd'), level: z.int().min(1).max(19), ...applies }),
  ]),
);
export type Compression = z.infer<typeof Compression>;
