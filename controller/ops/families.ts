import type { Families } from '#kit/exposition.ts';

/** What a controller says about itself, and about the proxies that follow it. */
export const controllerFamilies = {
  sluice_controller_watch_last_event_age_seconds: {
    type: 'gauge',
    help: 'Time since anything was heard of a kind of object.',
    labels: ['kind'],
  },
  sluice_controller_watch_relists_total: {
    type: 'counter',
    help: 'Full lists after the first, by kind of object.',
    labels: ['kind'],
  },
  sluice_controller_watch_failing: {
    type: 'gauge',
    help: '1 while the last attempt to watch a kind of object failed.',
    labels: ['kind'],
  },
  sluice_controller_table_generation: {
    type: 'gauge',
    help: 'Tables that this controller has published.',
    labels: [],
  },
  sluice_controller_table_rows: { type: 'gauge', help: 'Rows of the table, by kind.', labels: ['kind'] },
  sluice_controller_proxies: {
    type: 'gauge',
    help: 'Proxies that follow this controller (here) or another replica (elsewhere).',
    labels: ['connected'],
  },
  sluice_controller_proxies_applied: {
    type: 'gauge',
    help: 'Those of them that have applied the table of this controller.',
    labels: ['connected'],
  },
  sluice_controller_proxies_refusing: {
    type: 'gauge',
    help: 'Proxies that refused the last table that they were sent.',
    labels: [],
  },
  sluice_controller_problems: {
    type: 'gauge',
    help: 'Problems of objects, by code.',
    labels: ['severity', 'code'],
  },
  sluice_controller_leader: {
    type: 'gauge',
    help: '1 while this controller writes statuses and events.',
    labels: [],
  },
  sluice_controller_status_writes_total: {
    type: 'counter',
    help: 'Statuses of Ingresses that were written.',
    labels: [],
  },
  sluice_controller_status_contested: {
    type: 'gauge',
    help: 'Ingresses whose status another writer keeps changing.',
    labels: [],
  },
  sluice_controller_admission_reviews_total: {
    type: 'counter',
    help: 'Objects that the webhook has judged, by verdict; failed: it could not, and let them in.',
    labels: ['verdict'],
  },
  sluice_controller_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of the controller.',
    labels: [],
  },
} as const satisfies Families;

/** What a controller says about edges, addresses and plans (--edge). */
export const planFamilies = {
  sluice_controller_plan_generation: { type: 'gauge', help: 'Plans that this controller has published.', labels: [] },
  sluice_controller_plan_rows: { type: 'gauge', help: 'Rows of the plan, by kind.', labels: ['kind'] },
  sluice_controller_edges: {
    type: 'gauge',
    help: 'Edges that follow this controller (here) or another replica (elsewhere).',
    labels: ['connected'],
  },
  sluice_controller_edges_applied: {
    type: 'gauge',
    help: 'Those of them that have applied the plan of this controller.',
    labels: [],
  },
  sluice_controller_edges_refusing: {
    type: 'gauge',
    help: 'Edges that refused the last plan that they were sent.',
    labels: [],
  },
  sluice_controller_pool_addresses: {
    type: 'gauge',
    help: 'Addresses of pools, by family and state.',
    labels: ['pool', 'family', 'state'],
  },
  sluice_controller_service_writes_total: {
    type: 'counter',
    help: 'Writes of addresses into Services.',
    labels: [],
  },
  sluice_controller_services_waiting: {
    type: 'gauge',
    help: 'Services that something is to be written into, once edges have their plan.',
    labels: [],
  },
} as const satisfies Families;
