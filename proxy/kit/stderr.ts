/** As much of node:fs as is needed here. */
interface Files {
  openSync(path: string, flags: number): number;
  readonly constants: { readonly O_WRONLY: number; readonly O_APPEND: number; readonly O_NONBLOCK: number };
}

/**
 * For pino's destination: stderr, where a reader that stops costs lines and not the process. A write to a full pipe would hold
 * the whole process, its probes and tables included, until the reader goes on. So it is written to through a description of our
 * own that does not block, for the one that is inherited is shared with other processes. What it does not take waits for the
 * next line, and beyond `maxLength` is dropped. A stderr that cannot be opened again (a socket) is used as it is.
 */
export function unblockedStderr(files: Files): {
  readonly fd: number;
  readonly sync: true;
  readonly maxLength: number;
  readonly retryEAGAIN: () => boolean;
} {
  return { fd: stderrOfOurOwn(files), sync: true, maxLength: 65_536, retryEAGAIN: () => false };
}

function stderrOfOurOwn({ openSync, constants }: Files): number {
  try {
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  } catch {
    return 2;
  }
}
