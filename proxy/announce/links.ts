import { z } from 'zod';
import { isWithin } from '../edge/prefix.ts';
import { runIp } from './ip.ts';

/** A network interface by which addresses can be announced. */
export interface Link {
  readonly name: string;
  /** Its address on the wire, `02:42:ac:1e:00:01`. */
  readonly mac: string;
  /** The node's own addresses on it, as `172.30.0.1/24`. */
  readonly networks: readonly string[];
}

/** A host address of the kernel that ends by itself. */
export interface Lease {
  readonly address: string;
  readonly link: string;
  readonly leftMs: number;
}

/**
 * Interfaces that have a carrier and a network of their own; and host addresses with an end, which is what an agent holds.
 * null: they cannot be read, which says nothing about them.
 */
export async function readLinks(): Promise<{ links: Link[]; leases: Lease[] } | null> {
  const { output } = await runIp(['address show']);
  const parsed = Interfaces.safeParse(parse(output));
  if (!parsed.success) return null;
  const links: Link[] = [];
  const leases: Lease[] = [];
  for (const { ifname, flags, link_type, address, addr_info } of parsed.data) {
    const networks: string[] = [];
    for (const { local, prefixlen, scope, noprefixroute, valid_life_time: left } of addr_info) {
      if (local === undefined || scope !== 'global') continue;
      if (prefixlen < (local.includes(':') ? 128 : 32)) networks.push(`${local}/${prefixlen}`);
      else if (noprefixroute && left <= longestLeaseS) {
        leases.push({ address: local, link: ifname, leftMs: left * 1_000 });
      }
    }
    const isUp = flags.includes('UP') && flags.includes('LOWER_UP') && link_type === 'ether';
    if (isUp && networks.length > 0) links.push({ name: ifname, mac: address, networks });
  }
  return { links, leases };
}

/**
 * Where an address is announced: by an interface whose network holds it, or the first that was asked for by name.
 *
 * @param ways for each way, the names that are asked for, `*` at the end for any rest; none: those whose network holds it
 */
export function linkFor(address: string, ways: readonly (readonly string[])[], links: readonly Link[]): Link | null {
  for (const names of ways) {
    const asked = names.length === 0 ? links : links.filter(({ name }) => names.some((each) => isNamed(name, each)));
    const holding = asked.find(({ networks }) => isWithin(address, networks));
    if (holding) return holding;
    if (names.length > 0 && asked[0]) return asked[0];
  }
  return null;
}

function isNamed(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

const Interfaces = z.array(
  z.object({
    ifname: z.string(),
    flags: z.array(z.string()),
    link_type: z.string(),
    address: z.string().default(''),
    addr_info: z
      .array(
        z.object({
          local: z.string().optional(),
          prefixlen: z.number().default(0),
          scope: z.string().default(''),
          noprefixroute: z.boolean().default(false),
          valid_life_time: z.number().default(Number.POSITIVE_INFINITY),
        }),
      )
      .default([]),
  }),
);

/** The longest that an agent ever asks for. Nobody else gives a host address to a machine for so short a time. */
const longestLeaseS = 60;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
