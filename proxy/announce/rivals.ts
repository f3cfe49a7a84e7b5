import type { Link } from './links.ts';
import { probe, type Target } from './prober.ts';

export interface Rival {
  readonly target: Target;
  /** Its address on the wire. */
  readonly mac: string;
  /** We give way to it. */
  readonly isStronger: boolean;
}

/**
 * Who else answers for addresses that this node has. Of two that cannot speak with each other the one with the lower address on
 * the wire keeps them: both see both, so both come to this by themselves. The kernel tells no answers for an IPv6 address that
 * is its own, so of these it finds none.
 *
 * @param heard addresses on the wire of edges that are heard: between us and them claims decide
 */
export async function findRivals(
  held: readonly Target[],
  links: readonly Link[],
  heard: ReadonlySet<string>,
): Promise<Rival[]> {
  if (held.length === 0) return [];
  const answers = await probe(held);
  return held.flatMap((target) => {
    const mac = answers.get(target.address) ?? undefined;
    const own = links.find(({ name }) => name === target.link)?.mac;
    if (mac === undefined || own === undefined || mac === own || heard.has(mac)) return [];
    return [{ target, mac, isStronger: mac < own }];
  });
}
