import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CodeCache {
  readonly dir: string | null;
  remove(): void;
}

/**
 * A folder where the first workers leave their compiled code for successors: half of a worker's start is compiling, and its
 * clients wait for it. New for each fleet and readable by its user alone, because who can write there runs code here.
 * Where no file can be written there is no folder, and every worker compiles for itself.
 */
export function openCodeCache(): CodeCache {
  try {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-code-'));
    return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
  } catch {
    return { dir: null, remove() {} };
  }
}
