import type { AffinityMemory } from '../share/affinity.ts';
import type { Member } from './member.ts';
import { rendezvous } from './rendezvous.ts';
import type { Choices, Session } from './session.ts';
import type { Pick } from './types.ts';

/**
 * Service sessionAffinity ClientIP. The first pick is by rendezvous hash of the client's address, so that all workers
 * and replicas agree without talking; it is remembered for the timeout after the last request (as kube-proxy does), so
 * that endpoints that are added later move nobody who is known.
 *
 * Zones do not count here: proxies of two zones would send one client to two endpoints.
 */
export function clientIp(backendId: string, timeoutMs: number, memory: AffinityMemory, choices: Choices): Session {
  const membersByKey = new Map<string, Member>(choices.members.map((member) => [member.state.key, member]));
  return {
    pick(facts, tried, nowMs) {
      const wallMs = choices.wallMs(nowMs);
      const remembered = memory.recall(backendId, facts.clientAddress, timeoutMs, wallMs);
      const known = remembered === undefined ? undefined : membersByKey.get(remembered);
      if (known?.canKeepSession && !tried.includes(known.state)) return known.state.plainPick;
      const chosen = rank(facts.clientAddress, tried);
      if (chosen === null) return null;
      memory.remember(backendId, facts.clientAddress, chosen.state.key, timeoutMs, wallMs);
      return chosen.state.plainPick;
    },
  };

  function rank(client: string, tried: readonly Pick['endpoint'][]): Member | null {
    const { members } = choices;
    const untried = rendezvous(members, client, (member) => member.isUsable && !tried.includes(member.state));
    return untried ?? rendezvous(members, client, (member) => member.isUsable);
  }
}
