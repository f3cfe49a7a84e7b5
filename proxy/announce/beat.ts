import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

const Grade = z.literal([0, 1, 2]);

/**
 * What an edge tells another, a few times a second. Its claims, the addresses that it has, stand on pages: one with each beat
 * in turn, and all at once when one changes.
 */
const Beat = z.object({
  from: z.string(),
  to: z.string(),
  /** Of this life of the sender, at random. */
  boot: z.string(),
  /** Counts what it sends to this receiver in this life. */
  sequence: z.int(),
  /** The newest that the sender has of the receiver: proof that it hears it, and that this is no record of former days. */
  heard: z.object({ boot: z.string(), sequence: z.int() }).nullable(),
  /** What it would have to say of an address for which its plan lets it be. */
  grade: Grade,
  links: z.array(z.object({ name: z.string(), mac: z.string(), networks: z.array(z.string()) })),
  /** Counts changes of its claims. */
  version: z.int(),
  page: z.int(),
  pages: z.int(),
  claims: z.array(z.tuple([z.string(), Grade])),
});
export type Beat = z.infer<typeof Beat>;

/** A datagram: the authentication code, then the beat as JSON. */
export function sealBeat(beat: Beat, key: Buffer): Buffer {
  const body = Buffer.from(JSON.stringify(beat));
  return Buffer.concat([codeOf(body, key), body]);
}

/** null: not of somebody who has the key. */
export function openBeat(datagram: Buffer, key: Buffer): Beat | null {
  if (datagram.length <= codeLength) return null;
  const body = datagram.subarray(codeLength);
  if (!timingSafeEqual(datagram.subarray(0, codeLength), codeOf(body, key))) return null;
  try {
    return Beat.parse(JSON.parse(body.toString('utf8')));
  } catch {
    return null;
  }
}

const codeLength = 32;

function codeOf(body: Buffer, key: Buffer): Buffer {
  return createHmac('sha256', key).update('sluice edge beat 1\n').update(body).digest();
}
