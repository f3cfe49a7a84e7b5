import { createHmac, hash } from 'node:crypto';
import type { AffinityMemory } from '../share/affinity.ts';
import type { Member } from './member.ts';
import { rendezvous } from './rendezvous.ts';
import type { Choices, Session } from './session.ts';
import type { Pick } from './types.ts';

export interface ClientIpOptions {
  readonly backendId: string;
  readonly timeoutMs: number;
  /** The fleet's key; null: ids mean nothing outside this fleet of workers. */
  readonly key: Uint8Array | null;
  readonly memory: AffinityMemory;
}

/**
 * Service sessionAffinity ClientIP. The first pick is by rendezvous hash of the client's address, so that all workers
 * and replicas agree without talking; it is remembered for the timeout after the last request (as kube-proxy does), so
 * that endpoints that are added later move nobody who is known.
 *
 * Zones do not count here: proxies of two zones would send one client to two endpoints.
 */
export function clientIp({ backendId, timeoutMs, key, memory }: ClientIpOptions, choices: Choices): Session {
  const membersByKey = new Map<string, Member>(choices.members.map((member) => [member.state.key, member]));
  const secret = createHmac('sha256', key ?? '')
    .update(`sluice client 1\n${backendId}`)
    .digest('base64url');
  const idsByAddress = new Map<string, string>();
  return {
    pick(facts, tried, nowMs) {
      const id = idOf(facts.clientAddress);
      const remembered = memory.recall(id, timeoutMs, nowMs);
      const known = remembered === undefined ? undefined : membersByKey.get(remembered);
      if (known?.canKeepSession && !tried.includes(known.state)) return known.state.plainPick;
      const chosen = rank(facts.clientAddress, tried);
      if (chosen === null) return null;
      memory.remember(id, chosen.state.key, timeoutMs, nowMs);
      return chosen.state.plainPick;
    },
  };

  /**
   * What the client is called in memories, which leave the process: 128 bits of a keyed hash, because the few addresses
   * that there are could be tried one by one. Kept, since it costs as much as the rest of the pick.
   */
  function idOf(address: string): string {
    const known = idsByAddress.get(address);
    if (known !== undefined) return known;
    const id = hash('sha256', secret + address, 'base64url').slice(0, 22);
    if (idsByAddress.size >= 8192) idsByAddress.clear();
    idsByAddress.set(address, id);
    return id;
  }

  function rank(client: string, tried: readonly Pick['endpoint'][]): Member | null {
    const { members } = choices;
    const untried = rendezvous(members, client, (member) => member.isUsable && !tried.includes(member.state));
    return untried ?? choices.lastResort(tried) ?? rendezvous(members, client, (member) => member.isUsable);
  }
}
