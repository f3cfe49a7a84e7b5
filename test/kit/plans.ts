import type { ChangeBatch, Commit } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import { type PlanKind, type PlanRow, type PlanRows, planContract } from '#table/plan.ts';

const source = { kind: 'Test', namespace: 'test', name: 'test' };

/** A row of a plan of which a test cares about some fields only; the contract's own schema checks the rest. */
export function planRow<K extends PlanKind>(kind: K, fields: { id: string } & Partial<PlanRows[K]>): PlanRow {
  return { kind, row: planContract.schemas[kind].parse({ ...plainRows[kind], ...fields }) } as PlanRow;
}

/** What an endpoint is beside its address. */
export const plainEndpoint = {
  node: null,
  zone: null,
  ready: true,
  serving: true,
  terminating: false,
  forNodes: [],
  forZones: [],
};

/** A snapshot as a sender makes it. */
export function planSnapshot(rows: readonly PlanRow[], commit: Partial<Commit> = {}): ChangeBatch<PlanRows> {
  const hash = new TableHash();
  for (const each of rows) hash.add(rowHash(each.kind, canonicalJson(each.row)));
  return {
    isSnapshot: true,
    upserts: rows,
    deletes: [],
    commit: { schemaVersion: 1, generation: 1, hash: hash.text(), seen: {}, holds: {}, ...commit },
  };
}

const plainRows: { readonly [K in PlanKind]: object } = {
  node: { source, addresses: [], zone: null, podCidrs: [], isLeaving: false },
  service: {
    source,
    namespace: 'test',
    name: 'test',
    clusterIps: [],
    vips: [],
    externalIps: [],
    ports: [],
    externalTrafficPolicy: 'cluster',
    internalTrafficPolicy: 'cluster',
    affinityTimeoutSeconds: null,
    sourceRanges: [],
    healthCheckNodePort: null,
  },
  endpoints: { source, endpoints: [] },
  announcement: { source, nodes: [], layer2: null, bgp: null },
  address: { source, pool: 'test', serviceIds: [], announcementIds: [] },
  peer: {
    source,
    nodes: [],
    port: 179,
    secretId: null,
    bfd: null,
    holdTimeSeconds: null,
    keepaliveSeconds: null,
    connectRetrySeconds: 2,
    multihopTtl: null,
    sourceAddress: null,
    interface: null,
    gracefulRestartSeconds: null,
  },
  secret: {},
};
