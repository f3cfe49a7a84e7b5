import type { Problem, Source } from '#table/problem.ts';
import { compareText } from '../translate/problems.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { keyOf, type ObjectKey } from '../watch/view.ts';
import type { Applicant } from './pools.ts';
import { addressProblem } from './problems.ts';
import { canonicalAddress, type Family, familyOf } from './ranges.ts';
import { type Allocation, readRecord, recordAnnotation } from './record.ts';

/** Which Services are ours. */
export interface ClaimOptions {
  /** `spec.loadBalancerClass` of our Services. */
  loadBalancerClass: string;
  /** Whether Services without a class are ours, too. */
  servesClassless: boolean;
}

/** What decides whether two Services may have one address. */
export interface Sharing {
  /** null: with nobody. */
  key: string | null;
  /** `TCP/80`. */
  ports: readonly string[];
  /** Equal where traffic may reach the same nodes: empty for the policy Cluster, else which pods it goes to. */
  backend: string;
}

/** What a Service of ours asks for, and what it has. */
export interface Claim {
  key: ObjectKey;
  uid: string;
  createdAt: string;
  applicant: Omit<Applicant, 'namespaceLabels'>;
  /** In the order in which the Service wants them. */
  families: readonly Family[];
  /** RequireDualStack: all or nothing. */
  needsAll: boolean;
  /** Canonical. Empty: whichever is free. null: what it asks for is not usable. */
  requested: readonly string[] | null;
  /** The only pool that it wants, and where it says so. */
  pool: { name: string; field: string } | null;
  sharing: Sharing;
  /** As written down in it by a leader. */
  recorded: readonly Allocation[];
  hasFinalizer: boolean;
  /** Addresses in its status: somebody has been told. */
  promised: readonly string[];
  /** What cannot be read. */
  problems: readonly Problem[];
}

/** On Services. The first name that is there counts; the others are those of MetalLB, now and in former times. */
const addressesAnnotations = [
  'sluice.dev/addresses',
  'metallb.io/loadBalancerIPs',
  'metallb.universe.tf/loadBalancerIPs',
];
const poolAnnotations = ['sluice.dev/pool', 'metallb.io/address-pool', 'metallb.universe.tf/address-pool'];
const sharingAnnotations = [
  'sluice.dev/sharing-key',
  'metallb.io/allow-shared-ip',
  'metallb.universe.tf/allow-shared-ip',
];

/** On Services that have something that nobody else cleans up; other implementations use the same. */
export const finalizer = 'service.kubernetes.io/load-balancer-cleanup';

/** ours: it is to have addresses. leaving: it is not, and we have left something in it. */
export type Tie = 'ours' | 'leaving';

/** How a Service is tied to us; null: not at all. */
export function tieOf(service: ObjectOf<'Service'>, options: ClaimOptions): Tie | null {
  const { deletionTimestamp, finalizers, annotations } = service.metadata;
  const isOurs = isOfOurClass(service, options);
  if (isOurs && deletionTimestamp === '') return 'ours';
  const hasFinalizer = isOurs && finalizers.includes(finalizer);
  return hasFinalizer || annotations[recordAnnotation] !== undefined ? 'leaving' : null;
}

/** Whether the load balancer of a Service is for us to make. */
export function isOfOurClass({ spec }: ObjectOf<'Service'>, options: ClaimOptions): boolean {
  if (spec.type !== 'LoadBalancer') return false;
  const { loadBalancerClass } = spec;
  return loadBalancerClass === undefined ? options.servesClassless : loadBalancerClass === options.loadBalancerClass;
}

/** Never throws; what cannot be read is a problem, and leaves the Service with what it has. */
export function readClaim(service: ObjectOf<'Service'>): Claim {
  const { metadata, spec, status } = service;
  const { namespace, name, labels, annotations } = metadata;
  const source: Source = { kind: 'Service', namespace, name };
  const families = familiesOf(spec);
  const problems: Problem[] = [];
  const pool = firstOf(annotations, poolAnnotations);
  const key = firstOf(annotations, sharingAnnotations);
  return {
    key: keyOf(service),
    uid: metadata.uid,
    createdAt: metadata.creationTimestamp,
    applicant: { namespace, labels },
    families,
    needsAll: spec.ipFamilyPolicy === 'RequireDualStack',
    requested: requestsOf(service, families, source, problems),
    pool: pool && { name: pool.value, field: pool.field },
    sharing: {
      key: key?.value ?? null,
      ports: spec.ports.map(({ protocol, port }) => `${protocol}/${port}`),
      backend:
        spec.externalTrafficPolicy === 'Local'
          ? `local ${namespace} ${JSON.stringify(Object.entries(spec.selector).sort())}`
          : '',
    },
    recorded: readRecord(annotations),
    hasFinalizer: metadata.finalizers.includes(finalizer),
    promised: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => canonicalAddress(ip ?? '') ?? []),
    problems,
  };
}

/** The oldest first. */
export function compareClaims(a: Claim, b: Claim): number {
  return compareText(a.createdAt, b.createdAt) || compareText(a.key, b.key);
}

function familiesOf(spec: ObjectOf<'Service'>['spec']): Family[] {
  const given = spec.ipFamilies.filter((family): family is Family => family === 'IPv4' || family === 'IPv6');
  const byClusterIp = () => spec.clusterIPs.flatMap((ip) => canonicalAddress(ip) ?? []).map(familyOf);
  // An API server takes each family once, and files may repeat one.
  const families = new Set(given.length > 0 ? given : byClusterIp());
  return families.size > 0 ? [...families] : ['IPv4'];
}

function requestsOf(
  { metadata, spec }: ObjectOf<'Service'>,
  families: readonly Family[],
  source: Source,
  problems: Problem[],
): string[] | null {
  const given =
    firstOf(metadata.annotations, addressesAnnotations) ??
    (spec.loadBalancerIP ? { field: 'spec.loadBalancerIP', value: spec.loadBalancerIP } : null);
  if (given === null) return [];
  const requested = new Set<string>();
  for (const text of given.value.split(',').map((part) => part.trim())) {
    const address = canonicalAddress(text);
    const isFitting = address !== undefined && families.includes(familyOf(address));
    if (isFitting) requested.add(address);
    else {
      const fault =
        address === undefined ? 'is not an address' : `is not of a family of the Service (${families.join(', ')})`;
      const values = { value: text, fault };
      problems.push(addressProblem('AddressRequestInvalid', { ...source, field: given.field }, values));
    }
  }
  return problems.length > 0 ? null : [...requested];
}

function firstOf(
  annotations: Readonly<Record<string, string>>,
  names: readonly string[],
): { field: string; value: string } | null {
  const name = names.find((each) => annotations[each]?.trim());
  return name === undefined
    ? null
    : { field: `metadata.annotations[${name}]`, value: (annotations[name] ?? '').trim() };
}
