import { restoreArp } from '../announce/arp.ts';
import { removeAddresses } from '../announce/holdings.ts';
import { readLinks } from '../announce/links.ts';
import { strayTables } from '../announce/strays.ts';
import { silenceBird } from '../speak/silence.ts';
import { table } from './layout.ts';
import { runNft } from './nft.ts';

/**
 * Takes everything away that an agent has left: what is announced, and what is in the kernel. Established connections that
 * were translated keep their translation: the kernel has it by heart.
 * @returns what was there, in words; empty when there was nothing
 */
export async function cleanUp({ runDir }: { runDir: string }): Promise<string[]> {
  const removed: string[] = [];
  // What draws traffic goes before the rules that know what to do with it.
  if (await silenceBird(runDir)) removed.push('BIRD, and the routes that it announced');
  const { leases } = (await readLinks()) ?? { leases: [] };
  await removeAddresses(leases);
  removed.push(...leases.map(({ address, link }) => `the address ${address} from ${link}`));
  const restored = await restoreArp(runDir);
  removed.push(...restored.map((link) => `our settings of ARP of ${link}`));
  const tables = (await runNft(['list', 'tables'])).split('\n');
  for (const each of [table, ...strayTables]) {
    if (!tables.includes(`table ${each}`)) continue;
    await runNft(['delete', 'table', ...each.split(' ')]);
    removed.push(`the nftables table ${each}`);
  }
  return removed;
}
