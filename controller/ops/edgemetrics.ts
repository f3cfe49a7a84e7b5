import { exposition } from '#kit/exposition.ts';
import type { PlanRows } from '#table/plan.ts';
import type { AddressPoolStatus } from '../addresses/addresspool.ts';
import type { Publisher } from '../publish/publisher.ts';
import { planFamilies } from './families.ts';

export interface EdgeFigures {
  publisher: Pick<Publisher<PlanRows>, 'current' | 'readers' | 'countRows'>;
  /** By name of pool. */
  usage: ReadonlyMap<string, AddressPoolStatus>;
  services: { writes: number; waiting: number };
}

const show = exposition(planFamilies);

/** What the controller knows of edges, addresses and plans. */
export function planFigures({ publisher, usage, services }: EdgeFigures): string[] {
  const edges = publisher.readers();
  const hash = publisher.current?.hash;
  const hasApplied = edges.filter(({ appliedHash }) => appliedHash !== null && appliedHash === hash);
  const addresses = [...usage].flatMap(([pool, { ipv4, ipv6 }]) =>
    Object.entries({ ipv4, ipv6 }).flatMap(([family, count]) =>
      count === undefined
        ? []
        : [
            [{ pool, family, state: 'assigned' }, count.assigned] as const,
            [{ pool, family, state: 'available' }, count.available] as const,
          ],
    ),
  );
  return [
    show.single('sluice_controller_plan_generation', publisher.current?.generation ?? 0),
    show.rows(
      'sluice_controller_plan_rows',
      Object.entries(publisher.countRows()).map(([kind, rows]) => [{ kind }, rows]),
    ),
    show.rows(
      'sluice_controller_edges',
      ['here', 'elsewhere'].map((at) => [{ connected: at }, edges.filter(({ connected }) => connected === at).length]),
    ),
    show.single('sluice_controller_edges_applied', hasApplied.length),
    show.single('sluice_controller_edges_refusing', edges.filter(({ refused }) => refused.length > 0).length),
    show.rows('sluice_controller_pool_addresses', addresses),
    show.single('sluice_controller_service_writes_total', services.writes),
    show.single('sluice_controller_services_waiting', services.waiting),
  ];
}
