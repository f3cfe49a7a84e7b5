import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';

/**
 * How many connections wait in the kernel to be accepted by some listening sockets. libuv accepts one in a turn, so that
 * turns stay short however long that queue is: this is the only place where it can be seen.
 *
 * @param descriptors of the listening sockets
 */
export function waitingToBeAccepted(descriptors: readonly number[]): number {
  try {
    const inodes = new Set(descriptors.map((fd) => /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0]));
    let waiting = 0;
    for (const table of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
      for (const [, queue = '0', inode] of beginningOf(table).matchAll(listening)) {
        if (inodes.has(inode)) waiting += Number.parseInt(queue, 16);
      }
    }
    return waiting;
  } catch {
    // Not Linux.
    return 0;
  }
}

/** State LISTEN (0A), of which the receive queue is the connections that wait; the inode. */
const listening = /^ *\d+: \S+ \S+ 0A \w+:(\w+) \S+ \S+ +\d+ +\d+ (\d+) /gm;

/** Listening sockets come first; those behind may be tens of thousands. */
function beginningOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    return table.toString('latin1', 0, readSync(file, table, 0, table.length, 0));
  } finally {
    closeSync(file);
  }
}

const table = Buffer.allocUnsafeSlow(65_536);
