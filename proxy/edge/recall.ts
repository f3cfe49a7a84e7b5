import { z } from 'zod';
import { unmovedCounter } from './chains.ts';
import { isChooser } from './choosers.ts';
import { numberMask, parseKey, portIdOf } from './key.ts';
import { layoutVersion, table } from './layout.ts';
import { NftRefused, runNft } from './nft.ts';
import type { Recalled } from './renderer.ts';
import { families, type SetName } from './sets.ts';
import { elementOf } from './transaction.ts';

export interface KernelTable {
  /** Of this layout, so that what it has learnt may stay. */
  readonly isUsable: boolean;
  readonly recalled: Recalled;
}

/** What the kernel holds of an agent before this one: what affinity needs, where there is affinity, UDP endpoints that went, and chains. */
export async function recallTable(): Promise<KernelTable> {
  const stamp = await readStamp();
  const portIdByElement = new Map<string, number>();
  const numbersByList = new Map<number, Map<string, number>>();
  if (stamp === null || parseKey(stamp) >>> 16 !== layoutVersion) {
    return { isUsable: false, recalled: { portIdByElement, numbersByList, gone: [], choosers: [] } };
  }
  for (const family of families) {
    for (const [[keyOf], target] of await listMap(`sticky${family}`)) {
      const key = parseKey(String(keyOf));
      const list = (key & ~numberMask) >>> 0;
      const numbers = numbersByList.get(list) ?? new Map<string, number>();
      numbersByList.set(list, numbers.set(target.join(' . '), key & numberMask));
    }
  }
  if (numbersByList.size > 0) {
    for (const family of families) {
      for (const name of [`service${family}`, `nodeport${family}`] as const) {
        for (const [key, [entry]] of await listMap(name)) {
          portIdByElement.set(elementOf(name, key.join(' . ')), portIdOf(parseKey(String(entry))));
        }
      }
    }
  }
  const gone: string[] = [];
  for (const family of families) {
    const name = `gone${family}` as const;
    for (const key of await listSet(name)) gone.push(elementOf(name, key.join(' . ')));
  }
  const choosers = (await listChains()).filter(isChooser);
  return { isUsable: true, recalled: { portIdByElement, numbersByList, gone, choosers } };
}

/** The element of the set `state`: who wrote the table. null: there is no table of ours. @throws when nft cannot say */
export async function readStamp(): Promise<string | null> {
  const text = await runNft(['-j', 'list', 'set', ...table.split(' '), 'state']).catch((error: unknown) => {
    if (error instanceof NftRefused) return null;
    throw error;
  });
  if (text === null) return null;
  const { nftables } = Listing.parse(JSON.parse(text));
  const [stamp] = nftables.flatMap(({ set }) => set?.elem ?? []);
  return typeof stamp === 'string' ? stamp : null;
}

/**
 * How many packets of UDP flows went on to endpoints that they ought to have left, since this was last asked. It takes milliseconds;
 * to list a counter, nft reads all elements of all tables: a second beside 44,000 Services.
 */
export async function takeUnmoved(): Promise<number> {
  const { nftables } = Counters.parse(
    JSON.parse(await runNft(['-j', 'reset', 'counter', ...table.split(' '), unmovedCounter])),
  );
  return nftables.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
}

type Parts = readonly (string | number)[];

async function listMap(name: SetName): Promise<[key: Parts, value: Parts][]> {
  const { nftables } = Listing.parse(JSON.parse(await runNft(['-j', 'list', 'map', ...table.split(' '), name])));
  const elements = nftables.flatMap(({ map }) => map?.elem ?? []);
  return elements.map((element) => {
    const [key, value] = Pair.parse(element);
    return [partsOf(key), partsOf(value)];
  });
}

async function listSet(name: SetName): Promise<Parts[]> {
  const { nftables } = Listing.parse(JSON.parse(await runNft(['-j', 'list', 'set', ...table.split(' '), name])));
  return nftables.flatMap(({ set }) => set?.elem ?? []).map((element) => partsOf(Value.parse(element)));
}

/** nft lists those of a family at once, without their rules. */
async function listChains(): Promise<string[]> {
  const [family = '', name] = table.split(' ');
  const { nftables } = Chains.parse(JSON.parse(await runNft(['-j', 'list', 'chains', family])));
  return nftables.flatMap(({ chain }) => (chain !== undefined && chain.table === name ? [chain.name] : []));
}

/** Keys with a comment or an end are wrapped, and those of several parts. */
function partsOf(value: z.infer<typeof Value>): Parts {
  if (typeof value !== 'object') return [value];
  return 'elem' in value ? partsOf(value.elem.val) : value.concat;
}

const Atom = z.union([z.string(), z.number()]);
const Concat = z.object({ concat: z.array(Atom) });
const Value = z.union([Atom, Concat, z.object({ elem: z.object({ val: z.union([Atom, Concat]) }) })]);
const Pair = z.tuple([Value, Value]);
const Elements = z.object({ elem: z.array(z.unknown()).optional() }).optional();
const Listing = z.object({ nftables: z.array(z.object({ set: Elements, map: Elements })) });
const Chains = z.object({
  nftables: z.array(z.object({ chain: z.object({ table: z.string(), name: z.string() }).optional() })),
});
const Counters = z.object({
  nftables: z.array(z.object({ counter: z.object({ packets: z.number() }).optional() })),
});
