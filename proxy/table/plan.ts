import { AnnouncedAddress, Announcement, BgpPeer } from './announce.ts';
import { type Contract, emptyTableOf, type KindsOf, type RowIn, type TableOf } from './contract.ts';
import { Secret } from './secret.ts';
import { EdgeEndpoints, EdgeNode, EdgeService } from './service.ts';

/** The key of the agents' heartbeats: base64 of 32 bytes. */
export const heartbeatSecretId = 'edge/heartbeat';

/** Every kind of row of a plan, by the name it has on the wire. */
const planSchemas = {
  node: EdgeNode,
  service: EdgeService,
  endpoints: EdgeEndpoints,
  announcement: Announcement,
  address: AnnouncedAddress,
  peer: BgpPeer,
  /** Passwords of peers, and the key of heartbeats (heartbeatSecretId). */
  secret: Secret,
} as const;

export type PlanRows = KindsOf<typeof planSchemas>;
export type PlanKind = keyof PlanRows;
export type PlanRow = RowIn<PlanRows>;

/** What edges do, all of them: one plan for every node, so that all that agree have the same hash. Each finds its own part. */
export type EdgePlan = TableOf<PlanRows>;

/** What an edge is told. */
export const planContract: Contract<PlanRows> = {
  schemas: planSchemas,
  pointers: {
    service: { endpoints: ({ ports }) => ports.map(({ endpointsId }) => endpointsId) },
    announcement: { peer: ({ bgp }) => bgp?.peerIds ?? [] },
    address: { service: ({ serviceIds }) => serviceIds, announcement: ({ announcementIds }) => announcementIds },
    peer: { secret: ({ secretId }) => (secretId === null ? [] : [secretId]) },
  },
  sealed: { secret: ({ id }) => ({ id }) },
  streamPath: '/v1/plans',
  acksPath: '/v1/plans/acks',
};

export function emptyPlan(): EdgePlan {
  return emptyTableOf(planContract);
}
