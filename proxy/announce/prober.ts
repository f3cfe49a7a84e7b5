import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { runIp } from './ip.ts';

export interface Target {
  readonly address: string;
  /** Name of the interface. */
  readonly link: string;
}

/**
 * Asks a segment who answers for addresses, once each: the kernel does it, as for any neighbour that it looks for (ARP, and
 * NDP for IPv6), so that one process asks for all of them. It must not know the answer from before, so that is taken away first;
 * not by a deletion, since ip gives up all that follows when there is nothing to delete.
 *
 * @returns the address on the wire of the one that answered, by address; null: nobody. Those that could not be asked for are not
 * among them: a kernel without room for neighbours, or a machine without room for processes, is no silence
 */
export async function probe(targets: readonly Target[]): Promise<ReadonlyMap<string, string | null>> {
  const entries = targets.map(({ address, link }) => `${address} dev ${link}`);
  const asked = await runIp(
    entries.flatMap((entry) => [`neigh replace ${entry} nud none`, `neigh replace ${entry} nud none use`]),
  );
  await setTimeout(patienceMs);
  // Forgotten again, or the kernel would go on asking for those that did not answer.
  const { output, failures } = await runIp([
    'neigh show nud reachable nud stale nud delay nud probe',
    ...entries.map((entry) => `neigh del ${entry}`),
  ]);
  if (failures.has(0)) return new Map();
  const isAsked = (place: number) => !asked.failures.has(2 * place) && !asked.failures.has(2 * place + 1);
  const answers = new Map<string, string | null>();
  targets.forEach(({ address }, place) => {
    if (isAsked(place)) answers.set(address, null);
  });
  const wanted = new Set(targets.map(({ address, link }) => `${address} ${link}`));
  for (const { dst, dev, lladdr } of neighboursOf(output)) {
    if (lladdr !== undefined && wanted.has(`${dst} ${dev}`)) answers.set(dst, lladdr);
  }
  return answers;
}

/** A kernel answers in less than a millisecond, whatever its machine is busy with. */
const patienceMs = 80;

const Neighbours = z.array(z.object({ dst: z.string(), dev: z.string(), lladdr: z.string().optional() }));

function neighboursOf(output: string): z.infer<typeof Neighbours> {
  try {
    return Neighbours.parse(JSON.parse(output));
  } catch {
    return [];
  }
}
