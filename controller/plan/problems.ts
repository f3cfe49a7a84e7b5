import type { Problem, Source } from '#table/problem.ts';
import { type CatalogueEntry, problemOf } from '../translate/problems.ts';

/** Every problem of what edges are told. Codes are stable: people alert on them. */
export const planCatalogue = {
  AddressNotAnnounced: {
    severity: 'error',
    text: 'No Announcement is for {address} of AddressPool {pool}, so nobody outside the cluster reaches it.',
    hint: 'Create an Announcement for the pool; until then the status of the Service stays empty.',
  },
  AddressWithoutNode: {
    severity: 'error',
    text: 'No node may announce {address}: none that Announcement {announcements} selects is fit for it.',
    hint: 'Nodes with the label node.kubernetes.io/exclude-from-external-load-balancers or without network are left out.',
  },
  AnnouncementWithoutWay: {
    severity: 'error',
    text: 'The Announcement has neither l2 nor bgp, so it announces nothing.',
    hint: 'Add l2, bgp or both; l2: {} and bgp: {} take what is usual.',
  },
  AnnouncementPoolNotFound: {
    severity: 'warning',
    text: 'AddressPool {pool} does not exist.',
    hint: 'Create the pool, or correct the name.',
  },
  AnnouncementPeerNotFound: {
    severity: 'error',
    text: 'BGPPeer {peer} does not exist or cannot be used, so it hears nothing.',
    hint: 'Create the peer, or correct the name.',
  },
  CommunityInvalid: {
    severity: 'error',
    text: '"{community}" is not a community, so routes go without it.',
    hint: 'Write {parts} numbers with ":" between them, or a well-known name such as no-export.',
  },
  PeerAddressInvalid: {
    severity: 'error',
    text: '"{address}" {fault}, so no node speaks with this peer.',
    hint: 'Write the address of the router; a link-local one (fe80::) needs an interface beside it, by its name at the node.',
  },
  PeerPasswordMissing: {
    severity: 'error',
    text: 'Secret {secret} has no usable key {key}, so no node speaks with this peer.',
    hint: 'Put the password there, printable and of at most 80 characters; without it the router would refuse the session anyway.',
  },
  SourceRangeInvalid: {
    severity: 'error',
    text: '"{range}" is not a range of addresses, so it admits nobody.',
    hint: 'Write CIDRs like 192.0.2.0/24.',
  },
  ServiceProtocolUnknown: {
    severity: 'error',
    text: 'Port {port} has the protocol "{protocol}", which is not known, so nobody forwards it.',
    hint: 'Write TCP, UDP or SCTP, in capital letters.',
  },
  ExternalIpsDeprecated: {
    severity: 'warning',
    text: 'The Service has externalIPs, which Kubernetes has deprecated since 1.36 (KEP-5707); only edges that serve all Services serve them.',
    hint: 'Use type LoadBalancer, with the addresses in an AddressPool.',
  },
  TooManyEndpoints: {
    severity: 'warning',
    text: 'Port {port} has more than {most} {family} endpoints for a node to choose from: the rest take no traffic.',
    hint: 'Split the pods among several Services, or let the Service prefer endpoints of the same zone (spec.trafficDistribution).',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** As `problem` of controller/translate, from the catalogue of this folder. */
export function planProblem(
  code: keyof typeof planCatalogue,
  source: Source,
  values: Readonly<Record<string, string>>,
): Problem {
  return problemOf(code, planCatalogue[code], source, values);
}
