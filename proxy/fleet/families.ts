import type { Families } from '#kit/exposition.ts';

/** What a proxy says about its tables and workers. */
export const fleetFamilies = {
  sluice_workers_ready: { type: 'gauge', help: 'Workers that have the tables in force and listen.', labels: [] },
  sluice_worker_restarts_total: { type: 'counter', help: 'Workers that ended and were replaced.', labels: [] },
  sluice_tables_applied_total: { type: 'counter', help: 'Batches that came into force.', labels: [] },
  sluice_tables_refused_total: { type: 'counter', help: 'Batches that were refused.', labels: [] },
  sluice_table_generation: { type: 'gauge', help: "The sender's number of the table in force.", labels: [] },
  sluice_table_info: { type: 'gauge', help: 'Content hash of the table in force.', labels: ['hash'] },
  sluice_table_rows: { type: 'gauge', help: 'Rows of the table in force, by kind.', labels: ['kind'] },
  sluice_problems: { type: 'gauge', help: 'What is not honoured now, by code.', labels: ['code'] },
  sluice_certificate_not_after_seconds: {
    type: 'gauge',
    help: 'When a certificate that hosts use expires, seconds since 1970, by Secret.',
    labels: ['namespace', 'name'],
  },
  sluice_backend_probed_endpoints: {
    type: 'gauge',
    help: 'Endpoints with a health check, by backend.',
    labels: ['backend'],
  },
  sluice_backend_healthy_endpoints: { type: 'gauge', help: 'Those of them that are healthy.', labels: ['backend'] },
} as const satisfies Families;

/** What a proxy says about what it shares with others (--redis-url). */
export const shareFamilies = {
  sluice_share_up: { type: 'gauge', help: 'Whether state is shared with the other proxies.', labels: [] },
  sluice_share_told_total: { type: 'counter', help: 'Entries that the other proxies were told.', labels: [] },
  sluice_share_heard_total: { type: 'counter', help: 'Entries that were heard from the other proxies.', labels: [] },
  sluice_share_waiting: { type: 'gauge', help: 'Entries that could not be told yet.', labels: [] },
  sluice_share_failures_total: {
    type: 'counter',
    help: 'Failures of the server that state is shared through.',
    labels: [],
  },
} as const satisfies Families;
