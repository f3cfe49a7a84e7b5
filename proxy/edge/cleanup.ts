import { removeAddresses } from '../announce/holdings.ts';
import { readLinks } from '../announce/links.ts';
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
  const { leases } = await readLinks();
  await removeAddresses(leases);
  removed.push(...leases.map(({ address, link }) => `the address ${address} from ${link}`));
  const tables = (await runNft(['list', 'tables'])).split('\n');
  if (tables.includes(`table ${table}`)) {
    await runNft(['delete', 'table', ...table.split(' ')]);
    removed.push(`the nftables table ${table}`);
  }
  return removed;
}
