import type { Families } from '#kit/exposition.ts';

/** What layer 2 says about itself. */
export const layer2Families = {
  sluice_layer2_addresses: { type: 'gauge', help: 'Addresses that the plan announces on layer 2.', labels: [] },
  sluice_layer2_addresses_held: { type: 'gauge', help: 'Those of them that this node answers for.', labels: [] },
  sluice_layer2_takeovers_total: { type: 'counter', help: 'Addresses that came to this node.', labels: [] },
  sluice_layer2_conflicts_total: {
    type: 'counter',
    help: 'Times that somebody who is not heard answered for an address of this node.',
    labels: [],
  },
  sluice_layer2_losses_total: { type: 'counter', help: 'Addresses that were not renewed in time.', labels: [] },
  sluice_layer2_questions_total: {
    type: 'counter',
    help: 'Times that it was asked whether somebody answers for an address that this node would take.',
    labels: [],
  },
  sluice_layer2_gratuitous_total: {
    type: 'counter',
    help: 'Announcements to neighbours that none has asked for, by protocol (arp, ndp).',
    labels: ['protocol'],
  },
  sluice_layer2_peers: { type: 'gauge', help: 'Edges that this one should hear.', labels: [] },
  sluice_layer2_peers_heard: { type: 'gauge', help: 'Those of them that it hears, and that hear it.', labels: [] },
} as const satisfies Families;
