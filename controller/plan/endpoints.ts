import { metadataAddresses } from '#table/metadata.ts';
import type { PlanRows } from '#table/plan.ts';
import { canonicalAddress } from '../addresses/ranges.ts';
import { localFault } from '../translate/names.ts';
import { compareText } from '../translate/problems.ts';
import type { ObjectOf } from '../watch/objects.ts';

type Slice = ObjectOf<'EndpointSlice'>;
type Endpoint = PlanRows['endpoints']['endpoints'][number];

/**
 * The endpoints of one port of a Service for edges: of all its slices and both families, without doubles, in a stable
 * order.
 *
 * @param portName name of the Service port; slices carry the same, '' when it has none
 */
export function edgeEndpoints(
  slices: readonly Slice[],
  { spec }: ObjectOf<'Service'>,
  portName: string,
  protocol: string,
): Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue;
    for (const { name, port, protocol: spoken } of slice.ports) {
      if ((name ?? '') !== portName || spoken !== protocol || port === null || port === undefined) continue;
      for (const item of slice.endpoints) {
        for (const text of item.addresses) {
          const address = canonicalAddress(text);
          // A node would forward to itself, or to what its cloud tells it alone.
          if (address === undefined || reachesItself(address)) continue;
          const endpoint = endpointOf(item, address, port, spec.publishNotReadyAddresses);
          const key = `${address} ${port}`;
          const twin = byAddress.get(key);
          if (twin === undefined || rank(endpoint) > rank(twin)) byAddress.set(key, endpoint);
        }
      }
    }
  }
  return [...byAddress.values()].sort((a, b) => compareText(a.address, b.address) || a.port - b.port);
}

/** As localFault, which takes an address apart once more. */
function reachesItself(address: string): boolean {
  if (address.includes(':')) return localFault(address) !== undefined;
  const isLocal = address.startsWith('127.') || address.startsWith('0.') || address.startsWith('169.254.');
  return isLocal || metadataAddresses.has(address);
}

/** KEP-1672: absent ready means ready; absent serving means as ready; absent terminating means no. */
function endpointOf(
  { conditions, nodeName, zone, hints }: Slice['endpoints'][number],
  address: string,
  port: number,
  publishesNotReady: boolean,
): Endpoint {
  const ready = publishesNotReady || (conditions?.ready ?? true);
  return {
    address,
    port,
    node: nodeName ?? null,
    zone: zone ?? null,
    ready,
    serving: publishesNotReady || (conditions?.serving ?? ready),
    terminating: conditions?.terminating ?? false,
    forNodes: (hints?.forNodes ?? []).map(({ name }) => name).sort(),
    forZones: (hints?.forZones ?? []).map(({ name }) => name).sort(),
  };
}

/** While an endpoint moves between slices it is in both: the better condition is the newer one. */
function rank({ ready, serving, terminating }: Endpoint): number {
  return (ready ? 4 : 0) + (serving ? 2 : 0) + (terminating ? 0 : 1);
}

/**
 * Among how many endpoints a node chooses at most, as edges do it: ready ones, else those that serve and end (KEP-1669); where
 * all are hinted, those of one node or zone (KEP-2433, KEP-3015).
 */
export function mostUsable(endpoints: readonly Endpoint[]): number {
  const ready = endpoints.filter((each) => each.ready);
  if (ready.length === 0) return endpoints.filter(({ serving, terminating }) => serving && terminating).length;
  const byNode = ready.map(({ forNodes }) => forNodes);
  const byZone = ready.map(({ forZones }) => forZones);
  const hints = [byNode, byZone].find((all) => all.every(({ length }) => length > 0));
  if (hints === undefined) return ready.length;
  return Math.max(
    ...Map.groupBy(hints.flat(), (place) => place)
      .values()
      .map(({ length }) => length),
  );
}
