/** IPPROTO_TCP and TCP_INFO of Linux. */
const level = 6;
const option = 11;
/** The beginning of struct tcp_info; of a socket that listens, tcpi_unacked is how many wait (tcp_get_info). */
const infoBytes = 32;
const unackedAt = 24;

const getsockopt = { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' } as const;

/**
 * How many connections wait in the kernel to be accepted by some listening sockets. libuv accepts one in a turn, so that
 * turns stay short however long that queue is: this is the only place where it can be seen.
 *
 * Node has no getsockopt(2) of its own; where its FFI is off or gone (it is experimental), nobody is seen to wait. /proc/net/tcp
 * says it, too, but behind the last that listens the kernel looks for the next connection in all of its table, which grows with the
 * machine's memory: 7 ms with 24 GB, ten times a second, were what a worker with little CPU had.
 *
 * @param descriptors of the listening sockets
 */
export const waitingToBeAccepted: (descriptors: readonly number[]) => number = queueOfLibrary();

function queueOfLibrary(): (descriptors: readonly number[]) => number {
  if (process.platform !== 'linux') return () => 0;
  try {
    const { functions } = process.getBuiltinModule('node:ffi').dlopen(null, { getsockopt });
    const [info, length] = [Buffer.alloc(infoBytes), Buffer.alloc(4)];
    return (descriptors) => {
      let waiting = 0;
      for (const descriptor of descriptors) {
        length.writeUInt32LE(infoBytes);
        if (functions.getsockopt(descriptor, level, option, info, length) === 0)
          waiting += info.readUInt32LE(unackedAt);
      }
      return waiting;
    };
  } catch {
    return () => 0;
  }
}
