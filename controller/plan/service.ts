import type { PlanRow, PlanRows } from '#table/plan.ts';
import type { Problem, Source } from '#table/problem.ts';
import { maxListEndpoints } from '#table/service.ts';
import { canonicalAddress, familyOf } from '../addresses/ranges.ts';
import type { Allocation } from '../addresses/record.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { edgeEndpoints, mostUsable } from './endpoints.ts';
import { canonicalPrefix } from './prefix.ts';
import { planProblem } from './problems.ts';

type Service = ObjectOf<'Service'>;
type ServiceRow = PlanRows['service'];
type Endpoints = PlanRows['endpoints']['endpoints'];

export interface ServiceInput {
  service: Service;
  slices: readonly ObjectOf<'EndpointSlice'>[];
  /** Whether its load balancer is ours; then the allocations are all that it has. */
  isOurs: boolean;
  allocations: readonly Allocation[];
}

/** KEP-1880's default, which an API server fills in; files may leave it out. */
const usualAffinitySeconds = 10_800;
/** Nobody has these addresses. */
const nobody = ['0.0.0.0/32', '::/128'];
const rangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';

/** The rows of one Service; none for those that nobody forwards (headless, ExternalName). */
export function planService({ service, slices, isOurs, allocations }: ServiceInput): {
  rows: PlanRow[];
  problems: Problem[];
} {
  const { metadata, spec } = service;
  const isHeadless = spec.clusterIP === 'None' && spec.type !== 'LoadBalancer';
  if (spec.type === 'ExternalName' || isHeadless) return { rows: [], problems: [] };
  const { namespace, name } = metadata;
  const source: Source = { kind: 'Service', namespace, name };
  const problems: Problem[] = [];
  if (spec.externalIPs.length > 0) {
    problems.push(planProblem('ExternalIpsDeprecated', { ...source, field: 'spec.externalIPs' }, {}));
  }
  const ports = portsOf(service, source, problems);
  const isLocal = spec.externalTrafficPolicy === 'Local';
  const clientIP = spec.sessionAffinityConfig?.clientIP;
  const row: ServiceRow = {
    id: `${namespace}/${name}`,
    source,
    namespace,
    name,
    clusterIps: clusterIpsOf(spec),
    vips: isOurs
      ? allocations.map(({ address }) => ({ address, owner: 'sluice', ipMode: 'vip' }))
      : foreignVips(service),
    externalIps: addresses(spec.externalIPs),
    ports: ports.map(({ port, protocol }) => ({
      name: port.name,
      protocol,
      port: port.port,
      nodePort: port.nodePort ?? null,
      endpointsId: endpointsId(service, protocol, port.port),
    })),
    externalTrafficPolicy: isLocal ? 'local' : 'cluster',
    internalTrafficPolicy: spec.internalTrafficPolicy === 'Local' ? 'local' : 'cluster',
    affinityTimeoutSeconds:
      spec.sessionAffinity === 'ClientIP' ? (clientIP?.timeoutSeconds ?? usualAffinitySeconds) : null,
    sourceRanges: sourceRangesOf(service, source, problems),
    healthCheckNodePort: (isLocal && spec.type === 'LoadBalancer' ? spec.healthCheckNodePort : null) ?? null,
  };
  const endpointRows = ports.map(({ port, protocol }): PlanRow => {
    const endpoints = edgeEndpoints(slices, service, port.name, port.protocol);
    const at = { ...source, field: `spec.ports[${spec.ports.indexOf(port)}]` };
    problems.push(...surplusOf(endpoints, at, port.port));
    return { kind: 'endpoints', row: { id: endpointsId(service, protocol, port.port), source, endpoints } };
  });
  return { rows: [{ kind: 'service', row }, ...endpointRows], problems };
}

type Transport = ServiceRow['ports'][number]['protocol'];
const transports: ReadonlyMap<string, Transport> = new Map([
  ['TCP', 'tcp'],
  ['UDP', 'udp'],
  ['SCTP', 'sctp'],
]);

/** Each number of a protocol once: files may repeat one, or name a protocol that is none. */
function portsOf(
  { spec }: Service,
  source: Source,
  problems: Problem[],
): { port: Service['spec']['ports'][number]; protocol: Transport }[] {
  const byKey = new Map<string, { port: Service['spec']['ports'][number]; protocol: Transport }>();
  for (const [index, port] of spec.ports.entries()) {
    const protocol = transports.get(port.protocol);
    const key = `${port.protocol}/${port.port}`;
    if (protocol === undefined) {
      const at = { ...source, field: `spec.ports[${index}].protocol` };
      const values = { port: String(port.port), protocol: port.protocol };
      problems.push(planProblem('ServiceProtocolUnknown', at, values));
    } else if (!byKey.has(key)) byKey.set(key, { port, protocol });
  }
  return [...byKey.values()];
}

function surplusOf(endpoints: Endpoints, source: Source, port: number): Problem[] {
  if (endpoints.length <= maxListEndpoints) return [];
  return (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const count = mostUsable(endpoints.filter(({ address }) => familyOf(address) === family));
    const values = { port: String(port), family, most: String(maxListEndpoints) };
    return count > maxListEndpoints ? planProblem('TooManyEndpoints', source, values) : [];
  });
}

function endpointsId({ metadata: { namespace, name } }: Service, protocol: Transport, port: number): string {
  return `${namespace}/${name}/${protocol}/${port}`;
}

function clusterIpsOf({ clusterIPs, clusterIP }: Service['spec']): string[] {
  return addresses(clusterIPs.length > 0 ? clusterIPs : [clusterIP ?? '']);
}

/** What another implementation has put into the status. */
function foreignVips({ spec, status }: Service): ServiceRow['vips'] {
  if (spec.type !== 'LoadBalancer') return [];
  const byAddress = new Map<string, ServiceRow['vips'][number]>();
  for (const { ip, ipMode } of status?.loadBalancer?.ingress ?? []) {
    const address = canonicalAddress(ip ?? '');
    if (address === undefined) continue;
    byAddress.set(address, { address, owner: 'other', ipMode: ipMode === 'Proxy' ? 'proxy' : 'vip' });
  }
  return [...byAddress.values()];
}

/** What protects and cannot be read closes: nobody comes in by a range that is none. */
function sourceRangesOf({ spec, metadata }: Service, source: Source, problems: Problem[]): string[] {
  if (spec.type !== 'LoadBalancer') return [];
  const noted = metadata.annotations[rangesAnnotation]?.trim();
  const isNoted = spec.loadBalancerSourceRanges.length === 0 && noted !== undefined && noted !== '';
  const given = isNoted ? noted.split(',') : spec.loadBalancerSourceRanges;
  const field = isNoted ? `metadata.annotations[${rangesAnnotation}]` : 'spec.loadBalancerSourceRanges';
  const ranges = new Set<string>();
  for (const text of given) {
    const prefix = canonicalPrefix(text);
    if (prefix === undefined) problems.push(planProblem('SourceRangeInvalid', { ...source, field }, { range: text }));
    else ranges.add(prefix);
  }
  return given.length > 0 && ranges.size === 0 ? nobody : [...ranges].sort();
}

function addresses(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => canonicalAddress(text) ?? []))];
}
