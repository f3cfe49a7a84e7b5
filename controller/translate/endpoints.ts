import type { Endpoint } from '#table/backend.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { isAddress, localFault } from './names.ts';
import { compareText, problem } from './problems.ts';

type Slice = ObjectOf<'EndpointSlice'>;
type Service = ObjectOf<'Service'>;

/** An Endpoints object (files only) in the form of slices, as the API server mirrors it. */
export function slicesOfEndpoints(object: ObjectOf<'Endpoints'>): Slice[] {
  return object.subsets.map((subset) => ({
    kind: 'EndpointSlice',
    metadata: object.metadata,
    addressType: 'IPv4',
    ports: subset.ports,
    endpoints: [
      ...subset.addresses.map((address) => mirrored(address, true)),
      ...subset.notReadyAddresses.map((address) => mirrored(address, false)),
    ],
  }));
}

/**
 * The endpoints of one Service port: all its slices, dual stack included, without doubles, in a stable order.
 * @param portName name of the Service port; slices carry the same name, '' when it has none
 */
export function mergeSlices(
  slices: readonly Slice[],
  service: Service,
  portName: string,
  rules: { allowsLoopback: boolean; protocol: 'TCP' | 'UDP' },
): { endpoints: Endpoint[]; problems: Problem[] } {
  const { namespace, name } = service.metadata;
  const source: Source = { kind: 'Service', namespace, name };
  const byAddress = new Map<string, Endpoint>();
  const refused = new Set<string>();
  const problems: Problem[] = [];
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') {
      const values = { slice: slice.metadata.name, service: `${namespace}/${name}` };
      problems.push(problem('EndpointSliceNotAddresses', source, values));
      continue;
    }
    const ports = slice.ports.filter((port) => (port.name ?? '') === portName && port.protocol === rules.protocol);
    for (const { port } of ports) {
      if (port === null || port === undefined) continue;
      for (const item of slice.endpoints) {
        for (const address of item.addresses) {
          if (!isAddress(address) || (!rules.allowsLoopback && localFault(address) !== undefined)) {
            refused.add(address);
            continue;
          }
          const endpoint = endpointOf(item, address, port, service.spec.publishNotReadyAddresses);
          const key = `${address} ${port}`;
          const twin = byAddress.get(key);
          if (twin === undefined || rank(endpoint) > rank(twin)) byAddress.set(key, endpoint);
        }
      }
    }
  }
  if (refused.size > 0) {
    const values = { service: `${namespace}/${name}`, addresses: [...refused].sort().join(', ') };
    problems.push(problem('EndpointAddressRefused', source, values));
  }
  const endpoints = [...byAddress.values()].sort((a, b) => compareText(a.address, b.address) || a.port - b.port);
  return { endpoints, problems };
}

/** KEP-1672: absent ready means ready; absent serving means as ready; absent terminating means no. */
function endpointOf(
  item: Slice['endpoints'][number],
  address: string,
  port: number,
  publishesNotReady: boolean,
): Endpoint {
  const ready = publishesNotReady || (item.conditions?.ready ?? true);
  return {
    address,
    port,
    uid: item.targetRef?.uid ?? `${address}:${port}`,
    zone: item.zone ?? null,
    node: item.nodeName ?? null,
    forZones: (item.hints?.forZones ?? []).map((zone) => zone.name).sort(),
    ready,
    serving: publishesNotReady || (item.conditions?.serving ?? ready),
    terminating: item.conditions?.terminating ?? false,
    weight: 1,
  };
}

/** While an endpoint moves between slices it is in both: the better condition is the newer one. */
function rank(endpoint: Endpoint): number {
  return (endpoint.ready ? 4 : 0) + (endpoint.serving ? 2 : 0) + (endpoint.terminating ? 0 : 1);
}

function mirrored(
  address: { ip: string; nodeName?: string | null | undefined },
  ready: boolean,
): Slice['endpoints'][number] {
  const conditions = { ready, serving: ready, terminating: false };
  return {
    addresses: [address.ip],
    conditions,
    zone: null,
    nodeName: address.nodeName ?? null,
    targetRef: null,
    hints: null,
  };
}
