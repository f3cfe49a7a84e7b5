import { z } from 'zod';
import { Address, Port } from './address.ts';
import { Source } from './problem.ts';

/**
 * An address that is to be announced. One row per address, not per Service: Services that share it can never be announced
 * from two nodes.
 */
export const AnnouncedAddress = z.object({
  /** The address itself. */
  id: Address,
  source: Source,
  /** Name of the pool that it comes from. */
  pool: z.string(),
  /** Services that have it; where one of them has the external traffic policy local, only nodes with its endpoints are eligible. */
  serviceIds: z.array(z.string()),
  /** How; empty: not at all. */
  announcementIds: z.array(z.string()),
});
export type AnnouncedAddress = z.infer<typeof AnnouncedAddress>;

/** Numbers with `:` between them, none above `largest`. */
const community = (form: RegExp, largest: number) =>
  z
    .string()
    .regex(form)
    .refine((text) => text.split(':').every((part) => Number(part) <= largest));

/** A way of announcing addresses; where several apply to an address, it is announced in each of these ways. */
export const Announcement = z.object({
  id: z.string(),
  source: Source,
  /** Nodes that may announce: selectors, exclusions and the state of nodes are already applied. */
  nodes: z.array(z.string()),
  /** ARP and NDP. interfaces: names, `*` at the end for any rest; empty: those whose subnet holds the address. */
  layer2: z.object({ interfaces: z.array(z.string()) }).nullable(),
  bgp: z
    .object({
      /** Empty: every peer of the node. */
      peerIds: z.array(z.string()),
      /** `65000:100`. */
      communities: z.array(community(/^\d{1,5}:\d{1,5}$/, 65_535)),
      /** `65000:100:1`. */
      largeCommunities: z.array(community(/^\d{1,10}:\d{1,10}:\d{1,10}$/, 4_294_967_295)),
      /** null: the peer's default. */
      localPreference: z.int().min(0).max(4_294_967_295).nullable(),
      /** Length of the prefix that is announced for an address, by family. */
      aggregationLength4: z.int().min(1).max(32),
      aggregationLength6: z.int().min(1).max(128),
    })
    .nullable(),
});
export type Announcement = z.infer<typeof Announcement>;

/**
 * TCP MD5 key of a peer, as the row that its secretId names has to hold it: what Linux takes (TCP_MD5SIG_MAXKEYLEN), and what
 * stands between quotes in a configuration.
 */
export const BgpPassword = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,80}$/);

/** Of a network interface, as it may stand between quotes in a configuration. */
export const InterfaceName = z.string().regex(/^[\w.@:-]{1,15}$/);

const Asn = z.int().min(1).max(4_294_967_295);

export const BgpPeer = z.object({
  id: z.string(),
  source: Source,
  /** Nodes that speak with it. */
  nodes: z.array(z.string()),
  address: Address,
  port: Port,
  localAsn: Asn,
  peerAsn: Asn,
  /** Row of the TCP MD5 password; null: none. */
  secretId: z.string().nullable(),
  /** Detection in about the receive interval times the multiplier; null: off. */
  bfd: z
    .object({
      receiveMs: z.int().min(10).max(60_000),
      transmitMs: z.int().min(10).max(60_000),
      multiplier: z.int().min(2).max(255),
      isPassive: z.boolean(),
    })
    .nullable(),
  /** null: the engine's defaults. */
  holdTimeSeconds: z.int().min(3).max(65_535).nullable(),
  keepaliveSeconds: z.int().min(1).max(21_845).nullable(),
  connectRetrySeconds: z.int().min(1).max(65_535),
  /** How many hops away it may be; null: on the link. */
  multihopTtl: z.int().min(1).max(255).nullable(),
  /** Address to speak from; null: as the route says. */
  sourceAddress: Address.nullable(),
  /** Interface of a link-local peer; null otherwise. */
  interface: InterfaceName.nullable(),
  /** How long the peer keeps routes while this side restarts; null: not at all. */
  gracefulRestartSeconds: z.int().min(1).max(4_095).nullable(),
});
export type BgpPeer = z.infer<typeof BgpPeer>;
