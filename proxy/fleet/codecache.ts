import { lstatSync, mkdirSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A folder where workers leave their compiled code for successors: half of a worker's start is compiling, and its clients
 * wait for it. One for each user, and that user's alone: who can write there runs code here.
 * @returns null where there can be none, and every worker compiles for itself; or where Node was told of a folder already,
 * as in our image, for workers are told of the same
 */
export function openCodeCache(): string | null {
  if (getCompileCacheDir() !== undefined) return null;
  try {
    const uid = process.getuid?.() ?? -1;
    const dir = join(tmpdir(), `sluice-code-${uid}`);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    // The name can be guessed, so another user may have been there first, with a folder or a link of their own.
    const found = lstatSync(dir);
    return found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0 ? dir : null;
  } catch {
    return null;
  }
}
