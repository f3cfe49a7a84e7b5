import type { Stats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

interface Found {
  paths: string[];
  /** Folders below that cannot be read now. */
  closed: { path: string; reason: string }[];
}

/**
 * All manifests in a folder and below it, in the order of their paths. Links are followed, as a mounted ConfigMap needs; a folder that is reached in
 * several ways is read once, or two links to their own folder would be 2^40 folders.
 *
 * @throws When the folder itself cannot be read.
 */
export async function findManifests(dir: string): Promise<Found> {
  const found: Found = { paths: [], closed: [] };
  const seen = new Set<string>();
  const visit = async (folder: string): Promise<void> => {
    for (const name of (await readdir(folder)).sort()) {
      // `..data` and `..2026_01_01` of a mounted ConfigMap are reached by the links beside them.
      if (name.startsWith('.')) continue;
      const path = join(folder, name);
      if (isManifest.test(name)) found.paths.push(path);
      else await visitBelow(path);
    }
  };
  const visitBelow = async (path: string): Promise<void> => {
    try {
      const stats = await statOf(path);
      if (!stats?.isDirectory() || seen.has(identityOf(stats))) return;
      seen.add(identityOf(stats));
      await visit(path);
    } catch (error) {
      if (!isGone(error)) found.closed.push({ path, reason: (error as Error).message });
    }
  };
  seen.add(identityOf(await stat(dir)));
  await visit(dir);
  // Of an object that is there twice the first file counts, for whoever reads them.
  found.paths.sort();
  return found;
}

const isManifest = /\.(ya?ml|json)$/i;

function identityOf({ dev, ino }: Stats): string {
  return `${dev} ${ino}`;
}

/** null: nothing is there. */
export async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Whether what a folder named is there no more; a link that leads nowhere is. */
export async function hasVanished(path: string): Promise<boolean> {
  return lstat(path).then(() => false, isGone);
}

/** Other failures (no descriptors left, no permission, a disk that fails) say nothing of what is there. */
function isGone(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(String((error as NodeJS.ErrnoException).code));
}
