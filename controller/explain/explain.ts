import type { Source } from '#table/problem.ts';
import type { RowKind } from '#table/rows.ts';
import { everyHost, hostnameOf, wildcardOf } from '../translate/names.ts';
import type { Cluster } from '../watch/api.ts';
import { HeldView } from '../watch/held.ts';
import { readCluster } from './clusterstate.ts';
import { explanationText, isServed, objectOf } from './explanation.ts';
import { type Live, liveOfCluster, liveOfPage } from './live.ts';
import { type Origins, originsOf } from './origins.ts';
import { type Asked, requestOf } from './request.ts';
import { optionsOf, putFiles, type State, stateOf, type Words } from './state.ts';
import { type Trace, traceOf } from './trace.ts';

export interface ExplainOptions extends Words {
  /** Manifests; empty: not from files. */
  readonly files: readonly string[];
  /** A page of tables, or a file with it; null: not from there. */
  readonly tables: string | null;
  /** Of the installation, where its proxies are asked; null: wherever it is. */
  readonly namespace: string | null;
  readonly selector: string;
}

/**
 * Says what becomes of a request, and why.
 *
 * @param cluster opened only when neither files nor tables are named
 * @throws when there is nothing to look at; the message is for a person
 */
export async function explain(
  asked: Asked,
  options: ExplainOptions,
  cluster: () => Promise<Cluster>,
): Promise<{ text: string; isServed: boolean }> {
  if (options.files.length > 0) {
    const view = new HeldView();
    const unreadable = await putFiles(view, options.files);
    const state = stateOf(view, unreadable, optionsOf(options), Date.now());
    const trace = traceOf(requestOf(asked, state.table), state.table);
    const { hostname } = trace.request.facts;
    const known = {
      origins: originsIn(state, trace, options),
      problems: state.problems,
      naming: new Set(ingressesNaming(view, hostname)),
      health: new Map(),
    };
    return { text: explanationText(trace, known), isServed: isServed(trace) };
  }
  if (options.tables !== null) return ofLive(asked, await liveOfPage(options.tables), async () => new Map());
  const api = await cluster();
  try {
    return await ofLive(asked, await liveOfCluster(api, options.namespace, options.selector), (trace) =>
      originsOfCluster(api, trace, options),
    );
  } finally {
    await api.close();
  }
}

async function ofLive(asked: Asked, live: Live, origins: (trace: Trace) => Promise<Origins>) {
  const trace = traceOf(requestOf(asked, live.table), live.table);
  const health = new Map<string, Awaited<ReturnType<Live['healthOf']>>>();
  for (const { backend } of trace.behind) health.set(backend.id, await live.healthOf(backend.id));
  const known = { origins: await origins(trace), problems: live.problems, naming: new Set<string>(), health };
  return { text: `tables    of ${live.from}\n${explanationText(trace, known)}`, isServed: isServed(trace) };
}

/** Those that no route comes of, too. */
function ingressesNaming(view: HeldView, hostname: string): string[] {
  const names: (string | undefined)[] = [hostname, wildcardOf(hostname) ?? hostname, everyHost];
  const naming = [...view.all('Ingress')].filter(({ spec }) =>
    spec.rules.some(({ host }) => names.includes(hostnameOf(host))),
  );
  return naming.map(({ metadata: { namespace, name } }) => objectOf({ kind: 'Ingress', namespace, name }));
}

/** Where objects cannot be read, settings are told without what sets them. */
async function originsOfCluster(cluster: Cluster, trace: Trace, words: Words): Promise<Origins> {
  const options = optionsOf(words);
  const objects = await readCluster(cluster, options, { secretsOf: () => new Set(), limitMs: objectsMs }).catch(
    () => null,
  );
  if (objects === null) return new Map();
  return originsIn(stateOf(objects.view, objects.unreadable, options, Date.now()), trace, words);
}

const objectsMs = 10_000;

/** Of all Ingresses on the host, because what one says may hold for all. */
function originsIn(state: State, { request, hosts, route, behind, others }: Trace, { configmap }: Words): Origins {
  const rows: { kind: RowKind; id: string }[] = [
    { kind: 'listener', id: request.listener.id },
    ...hosts.map(({ id }) => ({ kind: 'host' as const, id })),
    ...(route === null ? [] : [{ kind: 'route' as const, id: route.id }]),
    ...behind.map(({ backend }) => ({ kind: 'backend' as const, id: backend.id })),
  ];
  const sources = [route?.source, ...others.map((each) => each.route.source)];
  const ingresses = new Map<string, Source>();
  for (const source of sources) {
    if (source?.kind === 'Ingress') ingresses.set(`${source.namespace}/${source.name}`, source);
  }
  return originsOf(state, configmap, [...ingresses.values()], rows);
}
