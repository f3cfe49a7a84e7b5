import { readFile } from 'node:fs/promises';

/** How many flows the kernel remembers, and how many it can; null where it does not say. */
export async function conntrackUse(): Promise<{ count: number; max: number } | null> {
  const read = async (name: string) => Number(await readFile(`/proc/sys/net/netfilter/nf_conntrack_${name}`, 'utf8'));
  try {
    return { count: await read('count'), max: await read('max') };
  } catch {
    return null;
  }
}
