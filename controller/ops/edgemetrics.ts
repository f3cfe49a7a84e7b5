import type { PlanRows } from '#table/plan.ts';
import type { AddressPoolStatus } from '../addresses/addresspool.ts';
import type { Publisher } from '../publish/publisher.ts';
import { family, sample } from './exposition.ts';

export interface EdgeFigures {
  publisher: Pick<Publisher<PlanRows>, 'current' | 'readers' | 'countRows'>;
  /** By name of pool. */
  usage: ReadonlyMap<string, AddressPoolStatus>;
  services: { writes: number; waiting: number };
}

/** What the controller knows of edges, addresses and plans. */
export function edgeFamilies({ publisher, usage, services }: EdgeFigures): string[] {
  const edges = publisher.readers();
  const hash = publisher.current?.hash;
  const hasApplied = edges.filter(({ appliedHash }) => appliedHash !== null && appliedHash === hash);
  const places = ['here', 'elsewhere'] as const;
  const addresses = [...usage].flatMap(([pool, { ipv4, ipv6 }]) =>
    Object.entries({ ipv4, ipv6 }).flatMap(([family, count]) =>
      count === undefined
        ? []
        : [
            sample({ pool, family, state: 'assigned' }, count.assigned),
            sample({ pool, family, state: 'available' }, count.available),
          ],
    ),
  );
  return [
    family('plan_generation', 'gauge', 'Plans that this controller has published.', [
      sample({}, publisher.current?.generation ?? 0),
    ]),
    family('plan_rows', 'gauge', 'Rows of the plan, by kind.', [
      ...Object.entries(publisher.countRows()).map(([kind, rows]) => sample({ kind }, rows)),
    ]),
    family('edges', 'gauge', 'Edges that follow this controller (here) or another replica (elsewhere).', [
      ...places.map((at) => sample({ connected: at }, edges.filter(({ connected }) => connected === at).length)),
    ]),
    family('edges_applied', 'gauge', 'Those of them that have applied the plan of this controller.', [
      sample({}, hasApplied.length),
    ]),
    family('edges_refusing', 'gauge', 'Edges that refused the last plan that they were sent.', [
      sample({}, edges.filter(({ refused }) => refused.length > 0).length),
    ]),
    family('pool_addresses', 'gauge', 'Addresses of pools, by family and state.', addresses),
    family('service_writes_total', 'counter', 'Writes of addresses into Services.', [sample({}, services.writes)]),
    family('services_waiting', 'gauge', 'Services that something is to be written into, once edges have their plan.', [
      sample({}, services.waiting),
    ]),
  ];
}
