import type { Endpoint } from '#table/backend.ts';
import { tableContract } from '#table/rows.ts';
import type { AdminOptions } from '../observe/admin.ts';
import { dumpOf } from '../observe/dump.ts';
import type { Intake } from '../receive/intake.ts';
import { type EndpointLook, endpointKey } from '../select/endpoint.ts';
import type { Crew } from './crew.ts';
import type { Upkeep } from './upkeep.ts';

/** The pages of a proxy beside those that every admin port has. */
export function fleetPages(of: { crew: Crew; intake: Intake; upkeep: Upkeep }): AdminOptions['pages'] {
  const { crew, intake, upkeep } = of;
  return {
    '/tables': () => ({
      hash: intake.commit?.hash ?? '',
      generation: intake.commit?.generation ?? 0,
      ...dumpOf(tableContract, intake.table),
    }),
    '/connections': async () => ({
      workers: (await crew.look('', answerMs)).map((look) => doingsOf(look, intake.table.listener)),
    }),
    '/endpoints': (query) => {
      const backendId = query.get('backend');
      if (backendId === null) return { backends: backendsOf(of) };
      if (!intake.table.backend.has(backendId)) return undefined;
      return endpointsOf(backendId, intake, upkeep, crew);
    },
  };
}

/** A worker that hangs must not make a page hang, ms. */
const answerMs = 1_000;

type Look = Awaited<ReturnType<Crew['look']>>[number];

/** A worker that did not answer in time has only its pid. */
function doingsOf({ pid, isReady, look }: Look, rows: ReadonlyMap<string, unknown>): object {
  if (look === null) return { pid, isReady };
  const { inFlight, turnedAway } = look;
  const listeners = look.listeners.filter(({ listenerId, open }) => open > 0 || rows.has(listenerId));
  return { pid, isReady, inFlight, listeners, turnedAway };
}

/** Every backend in short: one line of many, so no worker is asked. */
function backendsOf({ intake, upkeep }: { intake: Intake; upkeep: Upkeep }): object[] {
  const probesById = new Map(upkeep.health().map(({ backendId, ...counts }) => [backendId, counts]));
  const readyById = new Map<string, { endpoints: number; ready: number }>();
  for (const row of intake.table.endpoints.values()) {
    const endpoints = upkeep.addresses(row);
    const ready = endpoints.filter((endpoint) => endpoint.ready).length;
    for (const id of row.backendIds) {
      const known = readyById.get(id);
      readyById.set(id, {
        endpoints: endpoints.length + (known?.endpoints ?? 0),
        ready: ready + (known?.ready ?? 0),
      });
    }
  }
  return Array.from(intake.table.backend.values(), ({ id, broken }) => ({
    id,
    broken,
    ...(readyById.get(id) ?? { endpoints: 0, ready: 0 }),
    ...(probesById.get(id) ?? { probed: 0, healthy: 0 }),
  }));
}

/** The endpoints of one backend, with what the workers that answer in time know of them together. */
async function endpointsOf(backendId: string, intake: Intake, upkeep: Upkeep, crew: Crew): Promise<object> {
  const workers = await crew.look(backendId, answerMs);
  const looksByKey = Map.groupBy(
    workers.flatMap(({ look }) => look?.endpoints ?? []),
    ({ key }) => key,
  );
  const unhealthy = new Set(upkeep.unhealthy().flatMap((word) => (word.backendId === backendId ? [word.key] : [])));
  const rows = intake.table.endpoints.values().filter(({ backendIds }) => backendIds.includes(backendId));
  return {
    backend: backendId,
    answeringWorkers: workers.filter(({ look }) => look !== null).length,
    endpoints: rows
      .flatMap((row) => upkeep.addresses(row))
      .map((endpoint) => endpointPage(endpoint, unhealthy, looksByKey))
      .toArray(),
  };
}

function endpointPage(
  { address, port, node, zone, ready, serving, terminating }: Endpoint,
  unhealthy: ReadonlySet<string>,
  looksByKey: ReadonlyMap<string, readonly EndpointLook[]>,
): object {
  const key = endpointKey(address, port);
  const looks = looksByKey.get(key) ?? [];
  const sum = (count: (look: EndpointLook) => number) => looks.reduce((total, look) => total + count(look), 0);
  const latencies = looks.flatMap(({ latencyMs }) => latencyMs ?? []);
  return {
    endpoint: key,
    node,
    zone,
    ready,
    serving,
    terminating,
    /** As probes found it; true where there are none. */
    isHealthy: !unhealthy.has(key),
    inFlight: sum(({ inFlight }) => inFlight),
    results: sum(({ results }) => results),
    failures: sum(({ failures }) => failures),
    latencyMs: latencies.length === 0 ? null : latencies.reduce((total, ms) => total + ms, 0) / latencies.length,
    /** Each worker decides for itself. */
    workersThatLeaveItOut: looks.filter(({ leftOutMs }) => leftOutMs > 0).length,
  };
}
