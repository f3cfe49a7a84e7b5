import { z } from 'zod';
import { LabelSelector } from './selector.ts';

/** Names of communities (RFC 1997, RFC 3765, RFC 7999, RFC 8326). */
export const wellKnownCommunities: ReadonlyMap<string, string> = new Map([
  ['graceful-shutdown', '65535:0'],
  ['blackhole', '65535:666'],
  ['no-export', '65535:65281'],
  ['no-advertise', '65535:65282'],
  ['no-export-subconfed', '65535:65283'],
  ['no-peer', '65535:65284'],
]);

const names = z.array(z.string().min(1).max(253)).max(256).default([]);

const Layer2 = z.object({
  interfaces: z
    .array(z.string().min(1).max(15))
    .max(64)
    .default([])
    .describe(
      'Network interfaces to answer on; a * at the end stands for any rest. Without: those whose networks hold the address.',
    ),
});

const Bgp = z.object({
  peers: names.describe('BGPPeers that hear the routes. Without: all.'),
  communities: z
    .array(
      z
        .string()
        .max(32)
        .regex(
          /^([0-9]{1,5}:[0-9]{1,5}|no-export|no-advertise|no-export-subconfed|no-peer|blackhole|graceful-shutdown)$/,
        ),
    )
    .max(63)
    .default([])
    .describe('Communities of the routes (RFC 1997): number:number, or a well-known name such as no-export.'),
  largeCommunities: z
    .array(z.string().max(32).meta({ pattern: '^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$' }))
    .max(63)
    .default([])
    .describe('Large communities of the routes (RFC 8092): number:number:number.'),
  localPreference: z
    .int()
    .min(0)
    .max(4_294_967_295)
    .optional()
    .describe('Preference of the routes, which routers of the same autonomous system compare.'),
  aggregationLengthIPv4: z
    .int()
    .min(1)
    .max(32)
    .default(32)
    .describe('Length of the prefixes that are announced for IPv4 addresses; shorter than 32 gathers them.'),
  aggregationLengthIPv6: z.int().min(1).max(128).default(128).describe('The same for IPv6 addresses.'),
});

export const AnnouncementSpec = z
  .object({
    pools: names.describe('AddressPools whose addresses are announced, beside those that poolSelector selects.'),
    poolSelector: LabelSelector.optional().describe('AddressPools by their labels. Without it and without pools: all.'),
    serviceSelector: LabelSelector.optional().describe('Only addresses of Services with these labels.'),
    nodeSelector: LabelSelector.optional().describe('Only these nodes announce. Without: all.'),
    l2: Layer2.optional().describe('One node at a time answers ARP and NDP for each address.'),
    bgp: Bgp.optional().describe('Every node announces a route to each address.'),
  })
  .meta({
    'x-kubernetes-validations': [{ rule: 'has(self.l2) || has(self.bgp)', message: 'l2, bgp or both are needed' }],
  })
  .describe('How the addresses of pools are made known to the network.');
export type AnnouncementSpec = z.infer<typeof AnnouncementSpec>;
