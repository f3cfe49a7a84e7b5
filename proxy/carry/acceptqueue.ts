import { ofLibrary } from './clibrary.ts';

/**
 * Those whom the kernel has connected and who wait to be accepted. libuv accepts one in a turn of the loop and says of no other that
 * he is there.
 */

const getsockopt = ofLibrary('getsockopt', { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' });

/** IPPROTO_TCP and TCP_INFO of Linux. */
const level = 6;
const option = 11;
/** The beginning of struct tcp_info; of a socket that listens, tcpi_unacked is how many wait (tcp_get_info). */
const info = Buffer.alloc(32);
const unackedAt = 24;
const length = Buffer.alloc(4);

/**
 * How many wait to be accepted by some listening sockets; without getsockopt(2), nobody is seen to wait. /proc/net/tcp says it, too,
 * but behind the last that listens the kernel looks for the next connection in all of its table, which grows with the machine's
 * memory: 7 ms with 24 GB, ten times a second, were what a worker with little CPU had.
 *
 * @param descriptors of the listening sockets
 */
export function waitingToBeAccepted(descriptors: readonly number[]): number {
  const ask = getsockopt();
  if (ask === null) return 0;
  let waiting = 0;
  for (const descriptor of descriptors) {
    length.writeUInt32LE(info.length);
    if (ask(descriptor, level, option, info, length) === 0) waiting += info.readUInt32LE(unackedAt);
  }
  return waiting;
}

const accept4 = ofLibrary('accept4', { arguments: ['i32', 'pointer', 'pointer', 'i32'], return: 'i32' });

/** SOCK_NONBLOCK and SOCK_CLOEXEC of Linux. */
const flags = 0o4000 | 0o2000000;

/**
 * Takes one of them: turns are long where established connections have much to do, and one in each is too few then. Without
 * accept4(2), nobody is taken.
 *
 * @param descriptor of a socket that listens
 * @returns a descriptor that is the caller's, negative: there is none
 */
export function acceptMore(descriptor: number): number {
  return accept4()?.(descriptor, null, null, flags) ?? -1;
}
