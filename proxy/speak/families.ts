import type { Families } from '#kit/exposition.ts';

/** What a node that speaks with routers says about that; nothing where there are none. */
export const speakFamilies = {
  sluice_bird_up: { type: 'gauge', help: 'Whether BIRD runs and answers.', labels: [] },
  sluice_bird_starts_total: { type: 'counter', help: 'Times that this agent started BIRD.', labels: [] },
  sluice_bird_refusals_total: { type: 'counter', help: 'Configurations that BIRD refused.', labels: [] },
  sluice_bird_configure_seconds: { type: 'summary', help: 'Time until BIRD had taken a configuration.', labels: [] },
  sluice_bgp_session_up: { type: 'gauge', help: 'Whether the session with a peer is established.', labels: ['peer'] },
  sluice_bgp_announced_prefixes: { type: 'gauge', help: 'Routes that a peer was told.', labels: ['peer'] },
  sluice_bfd_session_up: { type: 'gauge', help: 'Whether BFD sees the peer.', labels: ['peer'] },
} as const satisfies Families;
