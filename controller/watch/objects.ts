import { z } from 'zod';
import { AddressPoolSpec } from '../addresses/addresspool.ts';
import { AnnouncementSpec } from '../addresses/announcement.ts';
import { BGPPeerSpec } from '../addresses/bgppeer.ts';

/**
 * The kinds that Sluice reads, each as the part of the object that matters to it. Everything else (managedFields, status,
 * resourceVersion, last-applied) is dropped at the door, so an update that changes nothing here is no change at all.
 * An API server has checked its objects; files have not, so every field is checked here, and a wrong one is a problem
 * on the object and never an exception.
 */
const strings = z.record(z.string(), z.string());

const Meta = z.object({
  name: z.string().min(1),
  namespace: z.string().default(''),
  uid: z.string().default(''),
  /** RFC 3339; files may leave it out, then it is '' and sorts first. */
  creationTimestamp: z.string().default(''),
  annotations: strings.nullish().transform((value) => value ?? {}),
  labels: strings.nullish().transform((value) => value ?? {}),
});

const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);

const ServicePort = z.object({ name: z.string().optional(), number: z.int().min(1).max(65535).optional() });
const IngressBackend = z.object({
  service: z.object({ name: z.string(), port: ServicePort.default({}) }).optional(),
  resource: z.object({ apiGroup: z.string().optional(), kind: z.string(), name: z.string() }).optional(),
});
export type IngressBackend = z.infer<typeof IngressBackend>;

const Ingress = z.object({
  kind: z.literal('Ingress'),
  metadata: Meta,
  spec: z
    .object({
      ingressClassName: z.string().optional(),
      defaultBackend: IngressBackend.optional(),
      tls: list(z.object({ hosts: list(z.string()), secretName: z.string().optional() })),
      rules: list(
        z.object({
          host: z.string().optional(),
          http: z
            .object({
              paths: list(
                z.object({ path: z.string().optional(), pathType: z.string().optional(), backend: IngressBackend }),
              ),
            })
            .optional(),
        }),
      ),
    })
    .prefault({}),
});

const IngressClass = z.object({
  kind: z.literal('IngressClass'),
  metadata: Meta,
  spec: z.object({ controller: z.string().default('') }).prefault({}),
});

const portOrName = z.union([z.int(), z.string()]);

const Service = z.object({
  kind: z.literal('Service'),
  metadata: Meta.extend({
    /** '' while nobody has deleted it. */
    deletionTimestamp: z.string().default(''),
    finalizers: list(z.string()),
  }),
  spec: z
    .object({
      type: z.string().default('ClusterIP'),
      clusterIP: z.string().optional(),
      clusterIPs: list(z.string()),
      externalName: z.string().optional(),
      externalIPs: list(z.string()),
      ports: list(
        z.object({
          name: z.string().default(''),
          port: z.int().min(1).max(65535),
          targetPort: portOrName.optional(),
          protocol: z.string().default('TCP'),
          appProtocol: z.string().optional(),
          nodePort: z.int().min(1).max(65535).optional(),
        }),
      ),
      selector: strings.nullish().transform((value) => value ?? {}),
      ipFamilies: list(z.string()),
      ipFamilyPolicy: z.string().optional(),
      externalTrafficPolicy: z.string().default('Cluster'),
      internalTrafficPolicy: z.string().default('Cluster'),
      healthCheckNodePort: z.int().min(1).max(65535).optional(),
      loadBalancerSourceRanges: list(z.string()),
      loadBalancerClass: z.string().optional(),
      loadBalancerIP: z.string().optional(),
      publishNotReadyAddresses: z.boolean().default(false),
      sessionAffinity: z.string().default('None'),
      sessionAffinityConfig: z
        .object({ clientIP: z.object({ timeoutSeconds: z.int().min(1).max(86_400).optional() }).optional() })
        .nullish(),
      trafficDistribution: z.string().optional(),
    })
    .prefault({}),
  /** Only the addresses: they are what a Service has been promised, and --publish-service copies them to Ingress status. */
  status: z
    .object({
      loadBalancer: z
        .object({
          ingress: list(
            z.object({ ip: z.string().optional(), hostname: z.string().optional(), ipMode: z.string().optional() }),
          ),
        })
        .optional(),
    })
    .optional(),
});

const EndpointSlice = z.object({
  kind: z.literal('EndpointSlice'),
  metadata: Meta,
  addressType: z.string().default('IPv4'),
  ports: list(
    z.object({
      name: z.string().nullish(),
      port: z.int().min(1).max(65535).nullish(),
      protocol: z.string().default('TCP'),
    }),
  ),
  endpoints: list(
    z.object({
      addresses: z.array(z.string()).min(1),
      conditions: z
        .object({
          ready: z.boolean().nullish(),
          serving: z.boolean().nullish(),
          terminating: z.boolean().nullish(),
        })
        .nullish(),
      zone: z.string().nullish(),
      nodeName: z.string().nullish(),
      targetRef: z.object({ uid: z.string().optional() }).nullish(),
      hints: z
        .object({
          forZones: list(z.object({ name: z.string() })),
          forNodes: list(z.object({ name: z.string() })),
        })
        .nullish(),
    }),
  ),
});

/** core/v1 Endpoints: read from files only; an API server mirrors them into slices. */
const Endpoints = z.object({
  kind: z.literal('Endpoints'),
  metadata: Meta,
  subsets: list(
    z.object({
      addresses: list(z.object({ ip: z.string(), nodeName: z.string().nullish() })),
      notReadyAddresses: list(z.object({ ip: z.string(), nodeName: z.string().nullish() })),
      ports: list(
        z.object({
          name: z.string().default(''),
          port: z.int().min(1).max(65535),
          protocol: z.string().default('TCP'),
        }),
      ),
    }),
  ),
});

const Secret = z.object({
  kind: z.literal('Secret'),
  metadata: Meta,
  type: z.string().default('Opaque'),
  /** Of files only: the reader has folded it into `data`, and leaves here what is no map of texts. */
  stringData: z.undefined({ error: 'must be a map' }).optional(),
  /** Base64, as on the wire. */
  data: strings.nullish().transform((value) => value ?? {}),
});

const ConfigMap = z.object({
  kind: z.literal('ConfigMap'),
  metadata: Meta,
  data: strings.nullish().transform((value) => value ?? {}),
});

const Namespace = z.object({ kind: z.literal('Namespace'), metadata: Meta });

/** Of taints and conditions only those that are read: the others change with every hiccup of a kubelet. */
const leavingTaint = 'ToBeDeletedByClusterAutoscaler';
const readConditions = ['Ready', 'NetworkUnavailable'];

const Node = z.object({
  kind: z.literal('Node'),
  metadata: Meta,
  spec: z
    .object({
      podCIDR: z.string().optional(),
      podCIDRs: list(z.string()),
      taints: list(z.object({ key: z.string() })).transform((all) => all.filter(({ key }) => key === leavingTaint)),
    })
    .prefault({}),
  status: z
    .object({
      addresses: list(z.object({ type: z.string(), address: z.string() })),
      conditions: list(z.object({ type: z.string(), status: z.string() })).transform((all) =>
        all.filter(({ type }) => readConditions.includes(type)),
      ),
    })
    .prefault({}),
});

const AddressPool = z.object({ kind: z.literal('AddressPool'), metadata: Meta, spec: AddressPoolSpec });
const BGPPeer = z.object({ kind: z.literal('BGPPeer'), metadata: Meta, spec: BGPPeerSpec });
const Announcement = z.object({ kind: z.literal('Announcement'), metadata: Meta, spec: AnnouncementSpec });

/** Only that there is one. */
const CustomResourceDefinition = z.object({ kind: z.literal('CustomResourceDefinition'), metadata: Meta });

export const objectSchemas = {
  Ingress,
  IngressClass,
  Service,
  EndpointSlice,
  Endpoints,
  Secret,
  ConfigMap,
  Namespace,
  Node,
  AddressPool,
  BGPPeer,
  Announcement,
  CustomResourceDefinition,
} as const;

export type ObjectKind = keyof typeof objectSchemas;
export type ObjectOf<K extends ObjectKind> = z.infer<(typeof objectSchemas)[K]>;
export type AnyObject = { [K in ObjectKind]: ObjectOf<K> }[ObjectKind];

export function isObjectKind(kind: string): kind is ObjectKind {
  return Object.hasOwn(objectSchemas, kind);
}

/** apiVersion by kind. Another version of a kind has another shape and is not guessed at. */
export const apiVersions: Record<ObjectKind, string> = {
  Ingress: 'networking.k8s.io/v1',
  IngressClass: 'networking.k8s.io/v1',
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Endpoints: 'v1',
  Secret: 'v1',
  ConfigMap: 'v1',
  Namespace: 'v1',
  Node: 'v1',
  AddressPool: 'sluice.dev/v1',
  BGPPeer: 'sluice.dev/v1',
  Announcement: 'sluice.dev/v1',
  CustomResourceDefinition: 'apiextensions.k8s.io/v1',
};
