import { exposition } from '#kit/exposition.ts';
import type { Problem } from '#table/problem.ts';
import type { AnnouncerStatus } from './announcer.ts';
import type { Candidates } from './candidates.ts';
import type { Gratuitous } from './gratuitous.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { Holdings } from './holdings.ts';
import { layer2Families } from './layer2families.ts';
import type { Wishes } from './wishes.ts';

/** What layer 2 knows of itself. */
export interface Layer2Facts {
  readonly node: string;
  readonly candidates: Candidates;
  readonly heartbeat: Heartbeat;
  readonly holdings: Holdings;
  readonly wishes: Wishes;
  readonly gratuitous: Gratuitous;
  readonly figures: { readonly takeovers: number; readonly conflicts: number; readonly losses: number };
  /** The node may not announce it, or has no interface for it. */
  isWithoutLink(address: string): boolean;
}

export function layer2Status({
  node,
  candidates,
  heartbeat,
  holdings,
  wishes,
  isWithoutLink,
}: Layer2Facts): AnnouncerStatus {
  const linked = heartbeat.linked();
  const answered = new Map(wishes.answered().map(({ target, mac }) => [target.address, mac]));
  const detailOf = (address: string): string => {
    const held = holdings.get(address);
    if (held !== null) return `is here, on ${held.link}`;
    const holder = linked.find((peer) => peer.claimOf(address) !== null);
    if (holder) return `is at ${holder.node}`;
    if (answered.has(address)) return `is answered for by ${answered.get(address)}, which no edge says it is`;
    const mayHave = candidates.of(address)?.candidates.some((each) => each.node === node);
    if (!mayHave) return 'is not for this node';
    return isWithoutLink(address) ? 'has no interface here' : 'is about to be decided';
  };
  return {
    way: 'layer2',
    addresses: [...candidates.addresses()].map(([address]) => ({
      address,
      isAnnounced: holdings.get(address) !== null,
      detail: detailOf(address),
    })),
    peers: heartbeat.peers.map((peer) => {
      const isUp = linked.includes(peer);
      return { name: peer.node, isUp, detail: isUp ? `is heard, grade ${peer.grade}` : 'is not heard' };
    }),
  };
}

export function layer2Problems({ candidates, heartbeat, wishes, gratuitous }: Layer2Facts): Problem[] {
  if ([...candidates.addresses()].length === 0) return [];
  const problems: Problem[] = [];
  const { failure } = heartbeat;
  if (failure !== null && heartbeat.peers.length > 0) {
    problems.push({
      code: 'HeartbeatUnheard',
      severity: 'warning',
      source: { kind: 'Edge', namespace: '', name: '' },
      message: `The edges of other nodes cannot be heard: ${failure}.`,
      hint: 'Addresses move only when nobody answers for them any more. End what has the port, or set --heartbeat-port on all edges.',
    });
  }
  for (const program of [...gratuitous.missing].sort()) {
    problems.push({
      code: 'AnnouncingToolMissing',
      severity: 'error',
      source: { kind: 'Edge', namespace: '', name: '' },
      message: `${program} is not installed, so neighbours are not told when an address moves.`,
      hint: 'sluice edge doctor, on the node, names the package.',
    });
  }
  for (const { target, mac } of wishes.answered()) {
    problems.push({
      code: 'AddressAnsweredElsewhere',
      severity: 'error',
      source: { kind: 'Address', namespace: '', name: target.address },
      message: `${mac} answers for ${target.address} on ${target.link}, and no edge that is heard says that it does.`,
      hint: 'Take the address from the machine that has it; if it is an edge, let UDP on the heartbeat port through between nodes.',
    });
  }
  return problems;
}

export function layer2Figures(facts: Layer2Facts): string {
  const { candidates, heartbeat, holdings, wishes, gratuitous, figures } = facts;
  const { arp, ndp } = gratuitous.figures;
  return [
    page.single('sluice_layer2_addresses', [...candidates.addresses()].length),
    page.single('sluice_layer2_addresses_held', holdings.size),
    page.single('sluice_layer2_takeovers_total', figures.takeovers),
    page.single('sluice_layer2_conflicts_total', figures.conflicts),
    page.single('sluice_layer2_losses_total', figures.losses),
    page.single('sluice_layer2_questions_total', wishes.questions),
    page.rows('sluice_layer2_gratuitous_total', [
      [{ protocol: 'arp' }, arp],
      [{ protocol: 'ndp' }, ndp],
    ]),
    page.single('sluice_layer2_peers', heartbeat.peers.length),
    page.single('sluice_layer2_peers_heard', heartbeat.linked().length),
  ].join('');
}

const page = exposition(layer2Families);
