/**
 * What the kernel holds beyond what is on its way to the client, at the most. By itself it takes megabytes for one that reads
 * nothing, all of it read, encrypted and copied in vain; with much less than this a fast client would wait for turns of ours.
 */
const mostUnsentBytes = 131_072;

/** IPPROTO_TCP and TCP_NOTSENT_LOWAT of Linux. */
const level = 6;
const option = 25;

/**
 * Of a socket that listens, and so of all that it will accept. Node has no setsockopt(2) of its own; one whose FFI is switched off
 * or gone (it is experimental) leaves sockets as the kernel makes them, and operators have a sysctl instead.
 */
export function limitUnsent(descriptor: number): void {
  if (process.platform !== 'linux') return;
  try {
    using library = process.getBuiltinModule('node:ffi').dlopen(null, { setsockopt });
    const value = Buffer.alloc(4);
    value.writeInt32LE(mostUnsentBytes);
    library.functions.setsockopt(descriptor, level, option, value, value.length);
  } catch {
    // As said above.
  }
}

const setsockopt = { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' } as const;
