import { isKnownMethod } from '#kit/methods.ts';
import type { Backend, Endpoint } from '#table/backend.ts';
import type { L4Route } from '#table/l4route.ts';
import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { Table } from '#table/rows.ts';
import type { RequestFacts } from '../../proxy/match/facts.ts';
import { type CompiledL4Route, L4Matcher } from '../../proxy/match/l4matcher.ts';
import type { CompiledRoute } from '../../proxy/match/match.ts';
import { Matcher } from '../../proxy/match/matcher.ts';
import { hasOtherReadings, isMeantAsSpelt, isServedUnproven, otherReadings } from '../../proxy/match/readings.ts';
import type { Request } from './request.ts';
import { standingOf } from './standing.ts';

/** A backend that may get the request, and who is behind it. */
export interface Behind {
  readonly backend: Backend;
  /** In percent of the requests of the route. */
  readonly share: number;
  readonly endpoints: readonly Endpoint[];
  /** A name that the proxy resolves, in the place of endpoints. */
  readonly name: string | null;
  /** What the backend sees in the place of the request's own; null: the same. */
  readonly path: string | null;
  readonly host: string | null;
  /** Why it answers nothing; null: it does. */
  readonly refusal: Answer | null;
}

/** What the gateway answers itself; a connection that it only passes on it can but reset. */
export interface Answer {
  readonly status: number | 'reset';
  readonly says: string;
}

/** What becomes of a request. */
export interface Trace {
  readonly request: Request;
  /** Hosts that were asked, in order: the first that covers the name, and those that it lets a request fall through to. */
  readonly hosts: readonly Host[];
  readonly route: Route | null;
  /** TLS of this name is passed on undecrypted. */
  readonly passedOn: L4Route | null;
  /** Other routes of these hosts, and why it is not them. */
  readonly others: readonly { readonly route: Route; readonly why: string }[];
  /** null: the backends answer. */
  readonly answer: Answer | null;
  readonly behind: readonly Behind[];
  /** Who may come depends on the address of the client, which was not told. */
  readonly dependsOnClient: boolean;
}

/** Follows a request through a table, by the code that routes. Pure. */
export function traceOf(request: Request, table: Table): Trace {
  const { listener, facts, isRefused } = request;
  const dependsOnClient = facts.clientAddress === '';
  const routes = new Map(table.route);
  if (dependsOnClient) for (const [id, row] of routes) routes.set(id, withoutSources(row));
  const hosts = hostsFor(listener.id, facts.hostname, table);
  const [first = null] = hosts;
  const nothing = { request, hosts, route: null, passedOn: null, others: [], behind: [], dependsOnClient: false };
  const l4 = new L4Matcher();
  l4.apply(table.l4route);
  const passed = listener.protocol === 'https' ? l4.match(listener.id, facts.hostname, first) : null;
  // No host has a part in it: what one says of the name holds for requests that are read here.
  if (passed !== null) return { ...nothing, hosts: [], ...passedOn(passed, facts, table) };
  if (!isKnownMethod(facts.method))
    return { ...nothing, answer: { status: 501, says: 'the method is not known here' } };
  if (isRefused) return { ...nothing, answer: { status: 400, says: 'its path could be read in more than one way' } };
  const matcher = new Matcher();
  matcher.apply({ hosts: table.host, routes });
  const { route } = matcher.match(listener.id, facts);
  const others = othersOf(hosts, routes, facts, route);
  if (route === null) {
    const says = first === null ? 'no host covers this name' : 'no route of the host accepts it';
    return { ...nothing, others, answer: { status: 404, says } };
  }
  const row = table.route.get(route.row.id) ?? route.row;
  const depends = dependsOnClient && row.filters.some(({ type }) => type === 'source-ranges');
  const behind = backendsOf(route, facts, table);
  const asked = upTo(hosts, row);
  const answer =
    answerTooLong(row, facts) ??
    answerAsRead(matcher, request, route, table) ??
    localAnswer(route, facts, table) ??
    answerInTheClear(asked.at(-1), request) ??
    answerFor(behind);
  return { ...nothing, hosts: asked, route: row, others, answer, behind, dependsOnClient: depends };
}

function passedOn({ row, backends, isAdmitted }: CompiledL4Route, { clientAddress }: RequestFacts, table: Table) {
  const behind = backends.flatMap(({ backendId, weightUpTo }, at, all) =>
    behindOf(table, backendId, share(weightUpTo, at, all), null, null).map((each) => ({
      ...each,
      refusal: resetFor(each.refusal),
    })),
  );
  const isToldWho = clientAddress !== '';
  const isOut = isToldWho && isAdmitted !== null && !isAdmitted(clientAddress);
  const answer = isOut
    ? { status: 'reset' as const, says: 'connections from this address are not let through' }
    : resetFor(answerFor(behind));
  return { passedOn: row, behind, answer, dependsOnClient: !isToldWho && isAdmitted !== null };
}

function resetFor(answer: Answer | null): Answer | null {
  return answer === null ? null : { ...answer, status: 'reset' };
}

/** The hosts that a request asks in turn. */
function hostsFor(listenerId: string, hostname: string, table: Table): Host[] {
  const found: Host[] = [];
  const left = new Map(table.host);
  for (;;) {
    const matcher = new Matcher();
    matcher.apply({ hosts: left, routes: new Map() });
    const host = matcher.hostOf(listenerId, hostname);
    if (host === null) return found;
    found.push(host);
    if (!host.canFallThrough) return found;
    left.delete(host.id);
  }
}

function upTo(hosts: readonly Host[], route: Route): Host[] {
  const at = hosts.findIndex(({ id }) => route.hostIds.includes(id));
  return hosts.slice(0, at + 1);
}

function othersOf(
  hosts: readonly Host[],
  routes: ReadonlyMap<string, Route>,
  facts: RequestFacts,
  winner: CompiledRoute | null,
): Trace['others'] {
  return hosts.flatMap((host) =>
    Array.from(routes.values())
      .filter(({ id, hostIds }) => hostIds.includes(host.id) && id !== winner?.row.id)
      .map((route) => ({ route, why: standingOf(route, host, facts, winner?.row ?? null) })),
  );
}

function withoutSources(row: Route): Route {
  const filters = row.filters.filter(({ type }) => type !== 'source-ranges');
  return filters.length === row.filters.length ? row : { ...row, filters };
}

/** Of a request that tells how long its body is. */
function answerTooLong({ bodyLimit }: Route, facts: RequestFacts): Answer | null {
  const length = facts.header('content-length') ?? '';
  if (bodyLimit === null || !/^\d+$/.test(length) || Number(length) <= bodyLimit) return null;
  return { status: 413, says: `a body of ${length} bytes is longer than the ${bodyLimit} of the route` };
}

/** Of another route that keeps out whom backends could take for one of its own; null: none does. */
function answerAsRead(matcher: Matcher, { listener, facts }: Request, route: CompiledRoute, table: Table) {
  if (!hasOtherReadings(facts.rawPath, facts.path)) return null;
  for (const path of otherReadings(facts.rawPath, facts.path)) {
    const read = { ...facts, path };
    const { route: other } = matcher.match(listener.id, read);
    if (other === null || other.id === route.id || isMeantAsSpelt(facts.path, path, route.row, other.row)) continue;
    const broken = table.backend.get(other.backends[0]?.backendId ?? '')?.broken ?? null;
    const denial = other.filters.denial?.(read) ?? null;
    if (denial !== null) return { status: denial.status, says: `as of ${path}: ${denial.sentence}` };
    if (broken !== null) return { status: broken.status, says: `as of ${path}: ${broken.message}` };
  }
  return null;
}

function localAnswer({ filters }: CompiledRoute, facts: RequestFacts, table: Table): Answer | null {
  const httpsPort = table.listener.get('https')?.publicPort ?? 443;
  const local = filters.answer?.(facts, { httpsPort }) ?? null;
  if (local === null) return null;
  if ('sentence' in local) return { status: local.status, says: local.sentence };
  const location = local.headers.find((line) => /^location:/i.test(line))?.replace(/^location: */i, '');
  return { status: local.status, says: location === undefined ? local.body.trim() : `to ${location}` };
}

function backendsOf({ backends, filters }: CompiledRoute, facts: RequestFacts, table: Table): Behind[] {
  return backends.flatMap((each, at, all) => {
    const path = (each.filters.path ?? filters.path)?.(facts) ?? null;
    return behindOf(table, each.backendId, share(each.weightUpTo, at, all), path, each.filters.host ?? filters.host);
  });
}

/** Weights come summed up. */
function share(weightUpTo: number, at: number, all: readonly { readonly weightUpTo: number }[]): number {
  const total = all.at(-1)?.weightUpTo ?? 0;
  return total === 0 ? 0 : Math.round((100 * (weightUpTo - (all[at - 1]?.weightUpTo ?? 0))) / total);
}

function behindOf(
  table: Table,
  backendId: string,
  percent: number,
  path: string | null,
  host: string | null,
): Behind[] {
  const backend = table.backend.get(backendId);
  if (backend === undefined) return [];
  const rows = Array.from(table.endpoints.values()).filter(({ backendIds }) => backendIds.includes(backendId));
  const endpoints = rows.flatMap((row) => row.endpoints);
  const name = rows.find(({ dns }) => dns !== null)?.dns;
  const named = name == null ? null : `${name.name}:${name.port}`;
  const behind = { backend, share: percent, endpoints, name: named, path, host };
  return [{ ...behind, refusal: refusalOf(behind) }];
}

/** Of a host that asks clients for a certificate: a redirect to https goes first. */
function answerInTheClear(host: Host | undefined, { listener, facts }: Request): Answer | null {
  const policy = host?.clientAuth ?? null;
  const isClear = listener.protocol === 'http';
  if (policy === null || !isClear || isServedUnproven(policy, facts.rawPath, facts.path)) return null;
  return { status: 400, says: 'the host asks clients for a certificate, which only https can carry' };
}

/** What is answered where nobody can be asked. */
function answerFor(behind: readonly Behind[]): Answer | null {
  const used = behind.filter(({ share: percent }) => percent > 0);
  if (used.length === 0) return { status: 503, says: 'no backend has weight' };
  // A part of the requests goes well: the lines of the backends say which.
  return used.every(({ refusal }) => refusal !== null) ? (used[0]?.refusal ?? null) : null;
}

/** KEP-1672: where no endpoint is ready, those that go and still serve do. */
function refusalOf({ backend, endpoints, name }: Omit<Behind, 'refusal'>): Answer | null {
  if (backend.broken !== null) return { status: backend.broken.status, says: backend.broken.message };
  const isServed =
    name !== null || endpoints.some(({ ready, serving, terminating }) => ready || (serving && terminating));
  return isServed ? null : { status: 503, says: `no endpoint of ${backend.id} is ready` };
}
