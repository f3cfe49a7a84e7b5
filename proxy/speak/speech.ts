import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Delta } from '../receive/changes.ts';
import type { Configuration } from './files.ts';
import { type Neighbour, neighboursOf } from './peers.ts';
import { peersText, vipsText } from './render.ts';
import { type Routes, routesOf, withoutGone } from './routes.ts';

/** All that BIRD is told at one time. */
export interface Speech {
  readonly neighbours: readonly Neighbour[];
  readonly routes: Routes;
  readonly configuration: Configuration;
  /** Rows of endpoints that it depends on. */
  readonly endpointsIds: ReadonlySet<string>;
}

/** What a node is to say by a plan. `problems`: peers that it cannot speak with. */
export function speechOf(plan: EdgePlan, node: string): { speech: Speech; problems: readonly Problem[] } {
  const self = plan.node.get(node);
  if (self === undefined) return { speech: silence, problems: [] };
  const { neighbours, problems } = neighboursOf(plan, node);
  if (neighbours.length === 0) return { speech: silence, problems };
  const peerIds = neighbours.map(({ row }) => row.id);
  const routes = routesOf(plan, node, peerIds);
  const configuration = {
    main: (vipsFile: string) => peersText(self, neighbours, vipsFile),
    vips: once(() => vipsText(neighbours, routes)),
  };
  return { speech: { neighbours, routes, configuration, endpointsIds: localEndpointsOf(plan) }, problems };
}

export const silence: Speech = {
  neighbours: [],
  routes: new Map(),
  configuration: { main: () => '', vips: () => '' },
  endpointsIds: new Set(),
};

/** The same without what is not wanted any more; null: nothing of it goes. What is new comes later. */
export function lessOf(speech: Speech, wanted: Speech): Speech | null {
  const routes = withoutGone(speech.routes, wanted.routes);
  if (routes === null) return null;
  const { main } = speech.configuration;
  return { ...speech, routes, configuration: { main, vips: once(() => vipsText(speech.neighbours, routes)) } };
}

export function isSame(one: Configuration, other: Configuration): boolean {
  return one.main('') === other.main('') && one.vips() === other.vips();
}

/** Of most changes nothing is withdrawn, and then nobody asks for the text of what would be. */
function once(make: () => string): () => string {
  let text: string | null = null;
  return () => {
    text ??= make();
    return text;
  };
}

/** Whether a change can touch what is said. Endpoints change most, and few of them decide who announces. */
export function isAboutRoutes({ upserts, deletes }: Delta<PlanRows>, { endpointsIds }: Speech): boolean {
  return (
    upserts.some(({ kind, row }) => kind !== 'endpoints' || endpointsIds.has(row.id)) ||
    deletes.some(({ kind, id }) => kind !== 'endpoints' || endpointsIds.has(id))
  );
}

function localEndpointsOf(plan: EdgePlan): Set<string> {
  const ids = new Set<string>();
  for (const { serviceIds } of plan.address.values()) {
    for (const serviceId of serviceIds) {
      const service = plan.service.get(serviceId);
      if (service?.externalTrafficPolicy !== 'local') continue;
      for (const { endpointsId } of service.ports) ids.add(endpointsId);
    }
  }
  return ids;
}
