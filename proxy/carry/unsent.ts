import { ofLibrary } from './clibrary.ts';

/**
 * What the kernel holds beyond what is on its way to the client, at the most. By itself it takes megabytes for one that reads
 * nothing, all of it read, encrypted and copied in vain; with much less than this a fast client would wait for turns of ours.
 */
const mostUnsentBytes = 131_072;

/** IPPROTO_TCP and TCP_NOTSENT_LOWAT of Linux. */
const level = 6;
const option = 25;

const setsockopt = ofLibrary('setsockopt', { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' });

/**
 * Of a socket that listens, and so of all that it will accept. Without setsockopt(2) sockets are left as the kernel makes them, and
 * operators have a sysctl instead.
 */
export function limitUnsent(descriptor: number): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(mostUnsentBytes);
  setsockopt()?.(descriptor, level, option, value, value.length);
}
