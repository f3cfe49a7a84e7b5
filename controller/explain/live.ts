import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';
import { Problem } from '#table/problem.ts';
import { emptyTable, type Row, rowKinds, rowSchemas, type Table } from '#table/rows.ts';
import type { Cluster } from '../watch/api.ts';
import { inputOf } from './input.ts';
import { findPods, type Pod, podsOf, readPage } from './pods.ts';
import { changed } from './state.ts';

/** Health of an endpoint, as the workers of a proxy see it. */
const Health = z.object({
  endpoint: z.string(),
  isHealthy: z.boolean(),
  inFlight: z.number(),
  results: z.number(),
  failures: z.number(),
  workersThatLeaveItOut: z.number(),
});
export type Health = z.infer<typeof Health>;

/** Tables in force in a proxy. */
export interface Live {
  /** Whose. */
  readonly from: string;
  readonly table: Table;
  readonly problems: readonly Problem[];
  /** By `address:port`; empty where it is not told. */
  healthOf(backendId: string): Promise<ReadonlyMap<string, Health>>;
}

/**
 * The tables of a `/tables` page.
 *
 * @param place URL of the page, or a file with what it showed; `-` is what comes on stdin
 * @throws when they cannot be read; the message is for a person
 */
export async function liveOfPage(place: string): Promise<Live> {
  const isUrl = /^https?:\/\//.test(place);
  const page = (path: string) => fetched(place.replace(/\/tables$/, path));
  return {
    from: place,
    table: tableOf(isUrl ? await fetched(place) : await inputOf(place)),
    problems: isUrl ? problemsOf(await page('/problems').catch(() => '[]')) : [],
    healthOf: (backendId) => healthOf(isUrl ? page(healthPath(backendId)) : Promise.reject(new Error('a file'))),
  };
}

/**
 * The tables of the first proxy of an installation that shows them, and the problems that its controllers know.
 *
 * @throws when there is none; the message is for a person
 */
export async function liveOfCluster(cluster: Cluster, namespace: string | null, selector: string): Promise<Live> {
  const pods = await findPods(cluster, namespace, selector);
  let failure = 'there is none';
  for (const pod of podsOf(pods, 'proxy')) {
    try {
      return {
        from: `proxy ${pod.namespace}/${pod.name}`,
        table: tableOf(await readPage(cluster, pod, '/tables')),
        problems: await problemsOfControllers(cluster, pods),
        healthOf: (backendId) => healthOf(readPage(cluster, pod, healthPath(backendId))),
      };
    } catch (error) {
      failure = `${pod.name}: ${reasonOf(error)}`;
    }
  }
  throw new Error(`no proxy shows its tables: ${failure}`);
}

async function problemsOfControllers(cluster: Cluster, pods: readonly Pod[]): Promise<Problem[]> {
  for (const pod of podsOf(pods, 'controller')) {
    const text = await readPage(cluster, pod, '/problems').catch(() => null);
    if (text !== null) return problemsOf(text);
  }
  return [];
}

function healthPath(backendId: string): string {
  return `/endpoints?${new URLSearchParams({ backend: backendId })}`;
}

async function healthOf(page: Promise<string>): Promise<ReadonlyMap<string, Health>> {
  const text = await page.catch(() => '{}');
  const parsed = z.object({ endpoints: z.array(Health).default([]) }).safeParse(jsonOf(text));
  return new Map((parsed.data?.endpoints ?? []).map((health) => [health.endpoint, health]));
}

/** One that is of another release and cannot be read hides no other. */
function problemsOf(text: string): Problem[] {
  const all = z.array(z.unknown()).safeParse(jsonOf(text)).data ?? [];
  return all.flatMap((each) => Problem.safeParse(each).data ?? []);
}

/** null: it is none; whoever stands in front of a page may answer with another one. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Key material is not on the page, and nothing here asks for it. */
const shownKinds = rowKinds.filter((kind) => kind !== 'certificate' && kind !== 'secret');

function tableOf(text: string): Table {
  const Page = z.record(z.string(), z.unknown());
  try {
    const page = Page.parse(jsonOf(text));
    const rows = shownKinds.flatMap((kind) =>
      Object.values(Page.parse(page[kind])).map((row) => ({ kind, row: rowSchemas[kind].parse(row) }) as Row),
    );
    return changed(emptyTable(), rows, []);
  } catch {
    throw new Error('these are no tables of a proxy of this release');
  }
}

async function fetched(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(pageMs) }).catch((error: Error) => {
    throw new Error(`${url} cannot be read: ${reasonOf(error.cause ?? error)}`);
  });
  if (!response.ok) throw new Error(`${url} was answered ${response.status}`);
  return response.text();
}

const pageMs = 10_000;
