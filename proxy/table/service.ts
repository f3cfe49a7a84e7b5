import { z } from 'zod';
import { Address, Port, Prefix } from './address.ts';
import { Source } from './problem.ts';

const Transport = z.enum(['tcp', 'udp', 'sctp']);

const ServicePort = z.object({
  /** As in the Service; '' when its only port has no name. */
  name: z.string(),
  protocol: Transport,
  port: Port,
  /** null: none is allocated. */
  nodePort: Port.nullable(),
  /** The row of its endpoints, which is there even when it has none. */
  endpointsId: z.string(),
});

export type ServicePort = z.infer<typeof ServicePort>;

/** A load balancer's address of a Service, as it is, or is about to be, in its status. */
const Vip = z.object({
  address: Address,
  /** sluice: allocated by us. other: another implementation's, which an agent that serves everything short-circuits. */
  owner: z.enum(['sluice', 'other']),
  /** KEP-1860. proxy: traffic inside the cluster must reach the load balancer itself, too. */
  ipMode: z.enum(['vip', 'proxy']),
});

/** A Service that nodes forward. Headless ones and those of type ExternalName are not among them. */
export const EdgeService = z.object({
  /** `<ns>/<name>`. */
  id: z.string(),
  source: Source,
  namespace: z.string(),
  name: z.string(),
  /** One per family. */
  clusterIps: z.array(Address),
  vips: z.array(Vip),
  externalIps: z.array(Address),
  ports: z.array(ServicePort),
  /** Of VIPs, external addresses and node ports. local: endpoints of the node only, client address kept. */
  externalTrafficPolicy: z.enum(['cluster', 'local']),
  /** Of cluster IPs. local: endpoints of the node only. */
  internalTrafficPolicy: z.enum(['cluster', 'local']),
  /** sessionAffinity ClientIP: how long a client stays after its last new connection; null: no affinity. */
  affinityTimeoutSeconds: z.int().min(1).max(86_400).nullable(),
  /** Who may reach VIPs; empty: everybody. Node ports are not restricted. */
  sourceRanges: z.array(Prefix),
  /** Where each node says whether it has endpoints; null: nowhere. */
  healthCheckNodePort: Port.nullable(),
});
export type EdgeService = z.infer<typeof EdgeService>;

const EdgeEndpoint = z.object({
  address: Address,
  port: Port,
  node: z.string().nullable(),
  zone: z.string().nullable(),
  /** KEP-1672: ready takes traffic; when none is ready, serving and terminating ones do. */
  ready: z.boolean(),
  serving: z.boolean(),
  terminating: z.boolean(),
  /** Topology hints: nodes and zones that it is meant for; empty: no hint. */
  forNodes: z.array(z.string()),
  forZones: z.array(z.string()),
});

export type EdgeEndpoint = z.infer<typeof EdgeEndpoint>;

/** Endpoints of one port and family among which a node can choose. Where more could take traffic, the rest takes none. */
export const maxListEndpoints = 4_095;

/** The endpoints of one port of a Service, of both families. They change most, so they are rows of their own. */
export const EdgeEndpoints = z.object({
  /** `<ns>/<service>/<protocol>/<port>`: a Service may have one number for TCP and UDP. */
  id: z.string(),
  source: Source,
  endpoints: z.array(EdgeEndpoint),
});
export type EdgeEndpoints = z.infer<typeof EdgeEndpoints>;

/** A node as the others, and its own agent, must know it. */
export const EdgeNode = z.object({
  /** Its name. */
  id: z.string(),
  source: Source,
  /** Its own addresses, the primary one of each family first: node ports are served there, and agents meet there. */
  addresses: z.array(Address),
  zone: z.string().nullable(),
  /** What its pods have their addresses from; empty when the network plug-in does not say. */
  podCidrs: z.array(Prefix),
  /** KEP-3836: about to be removed; load balancers are told to send no new connections. */
  isLeaving: z.boolean(),
});
export type EdgeNode = z.infer<typeof EdgeNode>;
