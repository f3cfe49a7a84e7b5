import type { z } from 'zod';
import { AddressPoolSpec, AddressPoolStatus } from './addresspool.ts';
import { AnnouncementSpec } from './announcement.ts';
import { BGPPeerSpec } from './bgppeer.ts';

export const ownGroup = 'sluice.dev';
export const ownVersion = 'v1';

interface OwnKind {
  plural: string;
  shortNames: readonly string[];
  about: string;
  spec: z.ZodType;
  /** null: nothing is written back. */
  status: z.ZodType | null;
  /** What `kubectl get` shows between name and age. */
  columns: readonly { name: string; type: 'string' | 'integer' | 'boolean'; jsonPath: string; priority?: number }[];
}

/** Sluice's own kinds. All are cluster-scoped: addresses and routers belong to the network, not to a namespace. */
export const ownKinds = {
  AddressPool: {
    plural: 'addresspools',
    shortNames: ['pool'],
    about: 'Addresses for Services of type LoadBalancer.',
    spec: AddressPoolSpec,
    status: AddressPoolStatus,
    columns: [
      { name: 'Auto', type: 'boolean', jsonPath: '.spec.autoAssign' },
      { name: 'IPv4 used', type: 'integer', jsonPath: '.status.ipv4.assigned' },
      { name: 'IPv4 free', type: 'integer', jsonPath: '.status.ipv4.available' },
      { name: 'IPv6 used', type: 'integer', jsonPath: '.status.ipv6.assigned' },
      { name: 'IPv6 free', type: 'integer', jsonPath: '.status.ipv6.available', priority: 1 },
      { name: 'Addresses', type: 'string', jsonPath: '.spec.addresses', priority: 1 },
    ],
  },
  BGPPeer: {
    plural: 'bgppeers',
    shortNames: [],
    about: 'A router that nodes announce addresses to.',
    spec: BGPPeerSpec,
    status: null,
    columns: [
      { name: 'Address', type: 'string', jsonPath: '.spec.address' },
      { name: 'Peer ASN', type: 'integer', jsonPath: '.spec.peerASN' },
      { name: 'Local ASN', type: 'integer', jsonPath: '.spec.localASN' },
    ],
  },
  Announcement: {
    plural: 'announcements',
    shortNames: [],
    about: 'How the addresses of pools are made known: by ARP and NDP, by BGP, or both.',
    spec: AnnouncementSpec,
    status: null,
    columns: [{ name: 'Pools', type: 'string', jsonPath: '.spec.pools' }],
  },
} as const satisfies Record<string, OwnKind>;

export type OwnKindName = keyof typeof ownKinds;
