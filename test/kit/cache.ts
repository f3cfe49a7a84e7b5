import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where programs are kept that tests and load runs had to build once: a folder of the user's cache. */
export function cacheFolder(name: string): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice', name);
}
