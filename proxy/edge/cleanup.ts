import { table } from './layout.ts';
import { runNft } from './nft.ts';

/**
 * Takes everything away that an agent has put into the kernel. Established connections that were translated keep their
 * translation: the kernel has it by heart.
 * @returns what was there, in words; empty when there was nothing
 */
export async function cleanUp(): Promise<string[]> {
  const removed: string[] = [];
  const tables = (await runNft(['list', 'tables'])).split('\n');
  if (tables.includes(`table ${table}`)) {
    await runNft(['delete', 'table', ...table.split(' ')]);
    removed.push(`the nftables table ${table}`);
  }
  return removed;
}
