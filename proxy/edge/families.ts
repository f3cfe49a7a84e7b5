import type { Families } from '#kit/exposition.ts';

/** What the agent of a node says about its plan and the kernel. */
export const edgeFamilies = {
  sluice_plans_applied_total: { type: 'counter', help: 'Batches that came into force.', labels: [] },
  sluice_plans_refused_total: { type: 'counter', help: 'Batches that were refused.', labels: [] },
  sluice_plan_generation: { type: 'gauge', help: "The sender's number of the plan in force.", labels: [] },
  sluice_plan_info: { type: 'gauge', help: 'Content hash of the plan in force.', labels: ['hash'] },
  sluice_plan_rows: { type: 'gauge', help: 'Rows of the plan in force, by kind.', labels: ['kind'] },
  sluice_nft_apply_seconds: { type: 'summary', help: 'Time that the kernel took for transactions.', labels: [] },
  sluice_nft_last_apply_seconds: { type: 'gauge', help: 'Time of the last transaction.', labels: [] },
  sluice_nft_syncs_total: { type: 'counter', help: 'Times that the whole table was written.', labels: [] },
  sluice_nft_failures_total: { type: 'counter', help: 'Transactions that nft refused.', labels: [] },
  sluice_udp_unmoved_packets_total: {
    type: 'counter',
    help: 'Packets of UDP flows that go on to endpoints that went, for want of room to move them.',
    labels: [],
  },
  sluice_conntrack_flows: { type: 'gauge', help: 'Flows that the kernel remembers.', labels: [] },
  sluice_conntrack_flows_max: { type: 'gauge', help: 'Flows that it can remember.', labels: [] },
  sluice_problems: { type: 'gauge', help: 'What is not honoured now, by code.', labels: ['code'] },
} as const satisfies Families;
