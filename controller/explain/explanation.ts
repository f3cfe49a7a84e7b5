import type { Problem, Source } from '#table/problem.ts';
import type { Row } from '#table/rows.ts';
import { flat } from './flat.ts';
import { placeOf, problemLine } from './lint.ts';
import type { Health } from './live.ts';
import type { Origins } from './origins.ts';
import type { Answer, Behind, Trace } from './trace.ts';

/** What is known beside the table. */
export interface Known {
  readonly origins: Origins;
  readonly problems: readonly Problem[];
  /** Objects that name the host of the request, as `objectOf` writes them, where objects are known. */
  readonly naming: ReadonlySet<string>;
  /** By id of backend, then by `address:port`. */
  readonly health: ReadonlyMap<string, ReadonlyMap<string, Health>>;
}

/** An explanation as lines for a person, each with a word of what it is about in front. */
export function explanationText(trace: Trace, known: Known): string {
  const { request, hosts, route, passedOn, behind, others } = trace;
  const { facts, listener } = request;
  const lines: [word: string, text: string][] = [
    [
      'request',
      `${facts.method} ${facts.scheme}://${facts.hostname}${readable(facts.rawPath)} on listener ${listener.id}`,
    ],
    ...hosts.map(({ id, source }): [string, string] => ['host', `${id}${ofSource(source)}`]),
  ];
  if (passedOn !== null) lines.push(['passed on', `undecrypted, by ${passedOn.id}${ofSource(passedOn.source)}`]);
  if (route !== null) lines.push(['route', `${route.id}${ofSource(route.source)}`]);
  lines.push(['answer', answerText(trace)]);
  if (trace.dependsOnClient)
    lines.push(['client', 'who may come is limited by address: --client says for whom to look']);
  for (const { route: other, why } of others.slice(0, mostOthers)) lines.push(['not', `${other.id}: ${why}`]);
  if (others.length > mostOthers) lines.push(['not', `${others.length - mostOthers} others of the host`]);
  const rows: Row[] = [
    { kind: 'listener', row: listener },
    ...hosts.slice(-1).map((row) => ({ kind: 'host' as const, row })),
    ...(route === null ? [] : [{ kind: 'route' as const, row: route }]),
    ...behind.map(({ backend }) => ({ kind: 'backend' as const, row: backend })),
  ];
  // Settings of what takes nothing explain nothing.
  const takesIt = route !== null || passedOn !== null;
  if (takesIt) for (const row of rows) lines.push(...settingLines(row, known.origins));
  for (const each of behind) lines.push(...backendLines(each, known.health.get(each.backend.id)));
  const involved = involvedOf(trace).union(known.naming);
  const problems = known.problems.filter(({ source }) => involved.has(objectOf(source)));
  lines.push(...problems.map((problem): [string, string] => ['problem', problemLine(problem).trimEnd()]));
  return lines.map(([word, text]) => `${word.padEnd(9)} ${text}\n`).join('');
}

/** A host may have thousands. */
const mostOthers = 20;

/** Whether a client gets what it asks for, or is sent where it does. */
export function isServed({ answer }: Trace): boolean {
  return answer === null || (answer.status !== 'reset' && answer.status < 400);
}

/** Objects whose problems bear upon the answer. */
function involvedOf({ hosts, route, passedOn, behind, others }: Trace): Set<string> {
  const sources = [
    ...hosts.map(({ source }) => source),
    ...[route, passedOn, ...others.map((each) => each.route)].map((row) => row?.source ?? null),
    ...behind.map(({ backend }) => backend.source),
  ];
  const services = behind.map(({ backend: { service } }) => `Service ${service.namespace}/${service.name}`);
  return new Set([...sources.flatMap((source) => (source === null ? [] : objectOf(source))), ...services]);
}

export function objectOf({ kind, namespace, name }: Source): string {
  return `${kind} ${namespace}/${name}`;
}

function ofSource(source: Source | null): string {
  return source === null ? '' : ` (${placeOf(source)})`;
}

/** Paths are bytes, one a character. */
function readable(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8');
}

function answerText({ answer, behind }: Trace): string {
  if (answer !== null) return refusalText(answer);
  return `of ${behind.map(({ backend, share }) => (behind.length === 1 ? backend.id : `${backend.id} (${share} %)`)).join(', ')}`;
}

function refusalText({ status, says }: Answer): string {
  return `${status === 'reset' ? 'reset:' : status} ${readable(says)}`;
}

/** Fields that say where a row belongs, and nothing of how a request fares; and those with a line of their own. */
const identity = new Set(
  'id source hostIds listenerIds match precedence backends service broken hostname wildcard canFallThrough port addresses'.split(
    ' ',
  ),
);

/** One line per setting that is on, and per filter; what sets it stands behind it. */
function settingLines({ kind, row }: Row, origins: Origins): [string, string][] {
  return Object.entries(row).flatMap(([name, value]: [string, unknown]): [string, string][] => {
    if (identity.has(name) || (kind === 'listener' && name === 'protocol')) return [];
    const groups = Map.groupBy(flat(value, name), ([field]) => /^filters\[([a-z-]+)\]/.exec(field)?.[1] ?? name);
    return Array.from(groups).flatMap(([group, fields]): [string, string][] => {
      const isOff = fields.every(([, text]) => ['null', '[]', '0', 'false'].includes(text));
      const by = new Set(fields.flatMap(([field]) => origins.get(`${kind} ${row.id} ${field}`) ?? []));
      if (isOff && by.size === 0) return [];
      const shown = fields.flatMap(([field, text]) => {
        const path = field.replace(/^filters\[[^\]]*\]\.?/, '').replace(new RegExp(`^${name}\\.?`), '');
        const mark = origins.has(`${kind} ${row.id} ${field}`) ? '*' : '';
        return group !== name && path === 'type' ? [] : `${path === '' ? '' : `${path} `}${text}${mark}`;
      });
      const setBy = by.size === 0 ? '' : ` (* by ${[...by].join(', ')})`;
      return [[group === name ? kind : 'filter', `${group} ${shown.join(', ')}${setBy}`]];
    });
  });
}

function backendLines(behind: Behind, health: ReadonlyMap<string, Health> | undefined): [string, string][] {
  const { backend, endpoints, name, path, host, share, refusal } = behind;
  const lines: [string, string][] = [
    [
      'backend',
      `${backend.id}${ofSource(backend.source)}, ${share} %${refusal === null ? '' : `: ${refusalText(refusal)}`}`,
    ],
  ];
  if (path !== null) lines.push(['backend', `sees the path ${readable(path)}`]);
  if (host !== null) lines.push(['backend', `sees the host ${host}`]);
  if (name !== null) lines.push(['endpoint', `${name}, as the proxy resolves it`]);
  for (const { address, port, zone, node, ready, serving, terminating } of endpoints.slice(0, mostOthers)) {
    const key = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    const state = ready ? 'ready' : serving && terminating ? 'terminating, still serving' : 'not ready';
    const place = [node && `node ${node}`, zone && `zone ${zone}`].filter((text) => text);
    // Nobody asks the others how they are.
    const isProbed = backend.healthCheck !== null && (ready || serving);
    const known = health?.get(key);
    const told = known === undefined ? [] : [...(isProbed ? [probedText(known)] : []), ...doingText(known)];
    lines.push(['endpoint', [key, state, ...place, ...told].join(', ')]);
  }
  if (endpoints.length > mostOthers) lines.push(['endpoint', `${endpoints.length - mostOthers} more`]);
  return lines;
}

function probedText({ isHealthy }: Health): string {
  return isHealthy ? 'healthy' : 'fails its health check';
}

function doingText({ inFlight, results, failures, workersThatLeaveItOut }: Health): string[] {
  return [
    `${inFlight} in flight`,
    `${failures} of ${results} failed`,
    ...(workersThatLeaveItOut > 0 ? [`left out by ${workersThatLeaveItOut} workers`] : []),
  ];
}
