type Accept = (descriptor: number) => number;

const accept4 = { arguments: ['i32', 'pointer', 'pointer', 'i32'], return: 'i32' } as const;

/** SOCK_NONBLOCK and SOCK_CLOEXEC of Linux. */
const flags = 0o4000 | 0o2000000;

/**
 * Takes one of those who wait to be accepted: libuv takes one in a turn of the loop, and turns are long where established connections
 * have much to do. Node has no accept4(2) of its own; where its FFI is off or gone (it is experimental), nobody is taken.
 *
 * @param descriptor of a socket that listens
 * @returns a descriptor that is the caller's, negative: there is none
 */
export function acceptMore(descriptor: number): number {
  // Looked for when it is wanted: Node warns of its FFI, and a command line that accepts nobody is no place for that.
  accept ??= acceptOfLibrary();
  return accept(descriptor);
}

let accept: Accept | null = null;

function acceptOfLibrary(): Accept {
  if (process.platform !== 'linux') return nobody;
  try {
    const { functions } = process.getBuiltinModule('node:ffi').dlopen(null, { accept4 });
    return (descriptor) => functions.accept4(descriptor, null, null, flags);
  } catch {
    return nobody;
  }
}

function nobody(): number {
  return -1;
}
