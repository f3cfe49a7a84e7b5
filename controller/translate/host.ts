import type { Host } from '#table/listener.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Route } from '#table/route.ts';
import type { Row } from '#table/rows.ts';
import { certainOf } from './certain.ts';
import { Claims } from './claims.ts';
import type { HostAuth } from './clientauth.ts';
import {
  closedPassthrough,
  closedRoute,
  closingOf,
  denials,
  deniedBackend,
  refusedBackend,
  unprovenBackend,
} from './closing.ts';
import type { Draft, DraftPath } from './draft.ts';
import type { HostTls } from './hosttls.ts';
import { everyHost } from './names.ts';
import type { TranslateOptions } from './options.ts';
import { ageBeside, type HostShares, namespaceOf, ownerOf } from './owner.ts';
import { isPassthrough, passthroughRow, settlePassthrough } from './passthrough.ts';
import { problem } from './problems.ts';
import { type HostFacts, isRegex, matchOf, type RouteRows, rewriteOf, routeOf, sourceFilters } from './route.ts';
import { placed, type RegexRule, subjectOf, wholeOf, yielding } from './shield.ts';
import { routeRetry, routeTimeouts } from './waits.ts';

/** Everything that one hostname is made of. */
export interface HostInput {
  hostname: string;
  /** Ingresses on it, oldest first. */
  drafts: readonly Draft[];
  /** The same, by whose the host is. */
  shares: HostShares;
  tls: HostTls;
  auth: HostAuth;
  /** Backend row for requests that no rule accepts, and the Service behind it; null: they get 404. */
  fallback: { backendId: string; source: Source } | null;
}

/**
 * Makes the host row and its route rows. What the Ingresses on a host have in common is settled here: whether paths are
 * regular expressions, TLS, app-root, and which of several equal paths counts.
 */
export function compileHost(
  input: HostInput,
  routeRows: RouteRows,
  options: TranslateOptions,
): { rows: Row[]; problems: Problem[] } {
  const { hostname, drafts, shares, tls, auth, fallback } = input;
  if (drafts.length === 0 && (hostname !== everyHost || fallback === null)) return { rows: [], problems: [] };
  const hostId = `ingress/${hostname}`;
  const passthrough = settlePassthrough(hostname, drafts, shares, auth);
  const causes = regexCauses(shares, hostname);
  const closing = closingOf(shares, auth, options);
  const root = closing === null ? passthrough.root : null;
  const suites = shares.owners.find((draft) => draft.annotations.settings['ssl-ciphers'] !== undefined);
  const facts: HostFacts = {
    hostId,
    regex: shares.oldest !== null && causes.get(shares.oldest) !== undefined ? 'host' : null,
    regexSince: '',
    hasTls: tls.isSet,
    deniedBackendId: closing === null ? null : `${hostId}#denied`,
    isPassedThrough: root !== null,
  };
  const factsOf = (draft: Draft): HostFacts => {
    const hasTls = tls.isSet || tls.guestNamespaces.has(namespaceOf(draft));
    const regex = facts.regex ?? (causes.has(draft) ? 'guest' : null);
    const regexSince = regex === 'guest' ? (causes.get(draft)?.age ?? '') : '';
    const deniedBackendId = facts.deniedBackendId ?? (auth.unproven.has(draft) ? `${hostId}#unproven` : null);
    const isAsHost = hasTls === facts.hasTls && regex === facts.regex && deniedBackendId === facts.deniedBackendId;
    return isAsHost ? facts : { ...facts, regex, regexSince, hasTls, deniedBackendId };
  };
  const problems: Problem[] = [
    ...tls.problems,
    ...auth.problems,
    ...(closing === null ? passthrough.problems : []),
    ...denials(drafts, closing, hostname),
  ];
  const routes: Route[] = [];
  const winners = new Map<string, string>();
  const refusals: { draft: Draft; path: DraftPath; fault: string }[] = [];

  // Those without a path here have nothing to begin at, as in ingress-nginx, which looks for it at the paths.
  const rooted = drafts.filter(
    (draft) =>
      !isPassthrough(draft) && draft.annotations.settings['app-root'] !== undefined && draft.pathsByHost.has(hostname),
  );
  const appRoot = rooted.find((draft) => mayRoot(draft, shares, hostname));
  const rootRoute = appRoot === undefined ? null : appRootRoute(appRoot, hostname, options);
  // app-root answers before any rule is looked at, so a rule for exactly "/" cannot be reached.
  if (rootRoute !== null && appRoot !== undefined) {
    routes.push(rootRoute);
    winners.set('exact /', appRoot.key);
  }
  for (const draft of rooted) problems.push(...overruled(draft, appRoot, shares, hostname, 'app-root'));
  for (const draft of drafts) problems.push(...overruled(draft, suites, shares, hostname, 'ssl-ciphers'));

  const paths = pathsOf(drafts, hostname).map(({ draft, path }) => ({ draft, path, facts: factsOf(draft) }));
  const regexRules: RegexRule[] = [];
  const claims = new Claims();
  const guests = new Set(shares.guests);
  for (const { draft, path, facts } of paths) {
    const isPattern = isRegex(path, facts);
    const fault = isPattern ? routeRows.regexFaultOf(path) : undefined;
    if (fault !== undefined) {
      refusals.push({ draft, path, fault });
      continue;
    }
    const match = matchOf(path, facts);
    const key = `${match.type === 'exact' ? 'exact' : 'path'} ${match.value}`;
    const twin = match.type === 'exact' || match.type === 'regex' ? undefined : claims.ofTwin(path.path);
    const isForeign = twin !== undefined && namespaceOf(twin) !== namespaceOf(draft);
    const winner = winners.get(key) ?? (isForeign ? twin.key : undefined);
    if (winner !== undefined) {
      if (path.kind !== 'default') {
        problems.push(problem('PathConflict', pathSource(path), { path: path.path, host: hostname, winner }));
      }
      continue;
    }
    winners.set(key, draft.key);
    const route = routeRows.of(draft, path, facts);
    routes.push(route);
    if (path.kind === 'default' || match.type === 'exact') continue;
    if (match.type === 'regex') {
      // Where every path is one, who has a path as it is written can only be seen here.
      if (facts.regex === 'host') claims.add(path.path, draft);
      regexRules.push({ route, text: path.path, age: draft.age, namespace: namespaceOf(draft) });
      continue;
    }
    claims.add(path.path, draft);
  }
  for (const { draft, path, facts } of paths) {
    if (!isRegex(path, facts) || routeRows.regexFaultOf(path) !== undefined) continue;
    // What an equal path has been refused for is told above; of the owner's nothing is put down.
    if (facts.regex === 'host' && (!guests.has(draft) || winners.get(`path ${path.path}`) !== draft.key)) continue;
    const subject = subjectOf(path.path) ?? '';
    const winner = [claims.of(subject), claims.ofTwin(subject)].find(
      (one) => one !== undefined && one.age < draft.age && namespaceOf(one) !== namespaceOf(draft),
    );
    if (winner === undefined) continue;
    problems.push(problem('PathConflict', pathSource(path), { path: path.path, host: hostname, winner: winner.key }));
  }

  // After all rules that can be used: nothing is closed that one of them names.
  const refused: Route[] = [];
  for (const { draft, path, fault } of refusals) {
    const closed = closing === null ? closedRoute(draft, path, factsOf(draft), options) : null;
    const value = closed?.match.path.value ?? '';
    const isClosed = closed !== null && !winners.has(`path ${value}`);
    const outcome = isClosed ? `what begins with "${value}" is answered with 503` : 'it is left out';
    problems.push(problem('PathRegexInvalid', pathSource(path), { path: path.path, host: hostname, fault, outcome }));
    if (!isClosed) continue;
    winners.set(`path ${value}`, draft.key);
    refused.push(closed);
  }
  routes.push(...refused);

  problems.push(...defaultConflicts(drafts, hostname));
  const expressions = new Map(
    facts.regex === null ? regexRules.toReversed().map((rule) => [wholeOf(rule.text), rule]) : [],
  );
  for (const { draft, path, facts } of paths) {
    if (isRegex(path, facts) || path.kind !== 'prefix' || winners.get(`path ${path.path}`) !== draft.key) continue;
    const taker = [path.path, path.path.replace(/\/$/, '')]
      .map((whole) => expressions.get(whole))
      .find((rule) => rule !== undefined && rule.age < draft.age);
    if (taker === undefined) continue;
    const { namespace, name } = taker.route.source ?? draft.source;
    const winner = `${namespace}/${name}`;
    problems.push(problem('PathConflict', pathSource(path), { path: path.path, host: hostname, winner }));
  }
  const isTaken = (bare: string): boolean => {
    const [since, expression] = [claims.ofTwin(bare)?.age, expressions.get(bare)];
    const isOlder = since !== undefined && expression !== undefined && since < expression.age;
    const isOwn = expression === undefined || expression.text !== bare;
    if (winners.has(`exact ${bare}`) || (winners.has(`path ${bare}`) && isOwn)) return true;
    return expression !== undefined && !isOlder;
  };
  routes.push(...slashRedirects(routes, isTaken));
  problems.push(...regexWarnings(causes, hostname), ...unsentCookies([...causes.keys()], hostname));
  if (fallback !== null && !winners.has('path /')) routes.push(fallbackRoute(hostname, fallback, facts, options));

  const isYielding = facts.regex !== null && shares.guests.length > 0;
  const moved = isYielding ? yielding(regexRules, ownerOf(shares).owner) : new Map<Route, Route>();
  for (const rule of facts.regex === null ? regexRules : []) moved.set(rule.route, placed(rule, claims));
  const host: Host = {
    id: hostId,
    source: drafts[0]?.hosts.get(hostname) ?? fallback?.source ?? null,
    // Requests of a passed-through host that come by TLS of another name find no host here.
    listenerIds: root === null ? ['http', 'https'] : ['http'],
    hostname,
    wildcard: 'one',
    certificateIds: root === null ? [...tls.certificates] : [],
    ciphers: suites?.annotations.settings['ssl-ciphers'] ?? null,
    clientAuth: closing === null ? auth.clientAuth : null,
    canFallThrough: false,
  };
  const rows: Row[] = [
    { kind: 'host', row: host },
    ...routes.map((row) => ({ kind: 'route', row: moved.get(row) ?? row }) as const),
  ];
  if (closing !== null) rows.push({ kind: 'backend', row: deniedBackend(hostId, closing, options) });
  else if (root !== null) rows.push({ kind: 'l4route', row: passthroughRow(hostname, root, options) });
  else rows.push(...closedPassthrough(hostId, drafts, options));
  const [guest] = auth.unproven;
  if (closing === null && guest !== undefined) {
    rows.push({ kind: 'backend', row: unprovenBackend(hostId, guest.source, options) });
  }
  const [first] = refused;
  if (first !== undefined) rows.push({ kind: 'backend', row: refusedBackend(hostId, first.source, options) });
  return { rows, problems };
}

function asksForRegex(draft: Draft, hostname: string): boolean {
  if (isPassthrough(draft)) return false;
  const isAsked = draft.annotations.settings['use-regex'] ?? false;
  return pathsOn(draft, hostname).some((path) => isAsked || rewriteOf(draft, path) !== null);
}

/** Paths of rules first, oldest Ingress first; default backends after them, for a rule goes before a default. */
function pathsOf(drafts: readonly Draft[], hostname: string): { draft: Draft; path: DraftPath }[] {
  const all = drafts.flatMap((draft) => pathsOn(draft, hostname).map((path) => ({ draft, path })));
  return [...all.filter(({ path }) => path.kind !== 'default'), ...all.filter(({ path }) => path.kind === 'default')];
}

function pathsOn(draft: Draft, hostname: string): readonly DraftPath[] {
  return draft.pathsByHost.get(hostname) ?? [];
}

function pathSource(path: DraftPath): Source {
  return path.kind === 'default' ? path.source : { ...path.source, field: `${path.source.field}.path` };
}

/** The oldest default backend of a host counts; one that a rule for "/" covers is no conflict, only unreached. */
function defaultConflicts(drafts: readonly Draft[], hostname: string): Problem[] {
  const defaults = drafts.flatMap((draft) =>
    pathsOn(draft, hostname)
      .filter((path) => path.kind === 'default')
      .map((path) => ({ draft, path })),
  );
  const [winner, ...losers] = defaults;
  if (winner === undefined) return [];
  return losers.map(({ path }) =>
    problem('DefaultBackendConflict', path.source, { host: hostname, winner: winner.draft.key }),
  );
}

/** Ingresses whose paths are regular expressions, and that for which they are: of an owner for all, of a guest for its namespace. */
function regexCauses({ owners, guests }: HostShares, hostname: string): Map<Draft, Draft> {
  const cause = owners.find((draft) => asksForRegex(draft, hostname));
  if (cause !== undefined) return new Map([...owners, ...guests].map((draft) => [draft, cause]));
  const byNamespace = new Map<string, Draft>();
  for (const draft of guests.filter((guest) => asksForRegex(guest, hostname)).reverse()) {
    byNamespace.set(namespaceOf(draft), draft);
  }
  return new Map(
    guests.flatMap((draft) => {
      const own = byNamespace.get(namespaceOf(draft));
      return own === undefined ? [] : [[draft, own]];
    }),
  );
}

function regexWarnings(causes: ReadonlyMap<Draft, Draft>, hostname: string): Problem[] {
  return [...causes]
    .filter(([draft]) => !asksForRegex(draft, hostname) && pathsOn(draft, hostname).length > 0)
    .map(([draft, cause]) =>
      problem('PathsBecameRegex', draft.hosts.get(hostname) ?? draft.source, { host: hostname, cause: cause.key }),
    );
}

/**
 * An affinity cookie has the path of its rule where nobody gives it one. Clients take that literally (RFC 6265 §5.1.4), and send
 * the cookie of a regular expression to no path.
 */
function unsentCookies(drafts: readonly Draft[], hostname: string): Problem[] {
  const sticky = drafts.filter(({ face }) => face.isSticky);
  if (sticky.some(({ annotations }) => annotations.settings['session-cookie-path'] !== undefined)) return [];
  return sticky.flatMap((draft) => {
    const unsent = pathsOn(draft, hostname).find(({ path }) => /[\\^$|?*+()[\]{}]/.test(path));
    if (unsent === undefined) return [];
    const annotation = draft.annotations.keys.affinity ?? '';
    const reason = `clients send no cookie back whose path is "${unsent.path}"; it needs session-cookie-path beside it`;
    const at: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
    return [problem('AnnotationWithoutEffect', at, { annotation, reason })];
  });
}

/**
 * nginx answers "/foo" with 301 to "/foo/" where only "/foo/" is routed; users know it as the missing slash being added.
 * @param isTaken whether somebody has a path, and has had it for longer than the one with a slash where it is a guest's expression
 */
function slashRedirects(routes: readonly Route[], isTaken: (bare: string) => boolean): Route[] {
  const redirects: Route[] = [];
  for (const route of routes) {
    const { path } = route.match;
    if (path.type !== 'prefix') continue;
    const bare = path.value.slice(0, -1);
    if (isTaken(bare)) continue;
    redirects.push(redirectRoute(route, `${route.id}/slash`, { from: bare, to: path.value, status: 301 }));
  }
  return redirects;
}

function appRootRoute(draft: Draft, hostname: string, options: TranslateOptions): Route | null {
  const value = draft.annotations.settings['app-root'];
  const [first] = pathsOn(draft, hostname);
  if (value === undefined || first === undefined) return null;
  const facts: HostFacts = {
    hostId: `ingress/${hostname}`,
    regex: null,
    regexSince: '',
    hasTls: false,
    deniedBackendId: null,
    isPassedThrough: false,
  };
  const source: Source = { ...draft.source, field: `metadata.annotations[${draft.annotations.keys['app-root']}]` };
  const base = { ...routeOf(draft, first, facts, options), source };
  const { namespace, name } = draft.source;
  return redirectRoute(base, `ingress/${namespace}/${name}/app-root/${hostname}`, {
    from: '/',
    to: value,
    status: 302,
  });
}

/** A guest answers for "/" where nobody of another namespace has a rule that may be meant for it. */
function mayRoot(draft: Draft, { oldest, owners, guests }: HostShares, hostname: string): boolean {
  if (oldest === null || namespaceOf(draft) === namespaceOf(oldest)) return true;
  const others = [...owners, ...guests].filter((other) => namespaceOf(other) !== namespaceOf(draft));
  return !others.some((other) =>
    pathsOn(other, hostname).some(({ kind, path }) => kind !== 'default' && certainOf(path).length <= 1),
  );
}

function overruled(
  draft: Draft,
  winner: Draft | undefined,
  shares: HostShares,
  hostname: string,
  name: 'app-root' | 'ssl-ciphers',
): Problem[] {
  const annotation = draft.annotations.keys[name];
  const value = draft.annotations.settings[name];
  if (annotation === undefined || value === winner?.annotations.settings[name]) return [];
  const at: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
  if (winner === undefined) {
    return [problem('GuestIgnored', at, { annotation, host: hostname, ...ownerOf(shares) })];
  }
  const values = { annotation, subject: `host ${hostname}`, winner: winner.key, age: ageBeside(draft, winner) };
  return [problem('AnnotationOverruled', at, values)];
}

/** A route that sends those who may come from one path of the host to another. */
function redirectRoute(base: Route, id: string, way: { from: string; to: string; status: 301 | 302 }): Route {
  const path = { type: 'full', value: way.to } as const;
  return {
    ...base,
    id,
    match: { ...base.match, path: { type: 'exact', value: way.from } },
    filters: [
      ...base.filters.filter(({ type }) => type === 'source-ranges'),
      { type: 'redirect', scheme: null, hostname: null, port: null, path, status: way.status },
    ],
    backends: [],
  };
}

function fallbackRoute(
  hostname: string,
  fallback: NonNullable<HostInput['fallback']>,
  facts: HostFacts,
  options: TranslateOptions,
): Route {
  const value = '/';
  return {
    id: `ingress-default/${hostname}`,
    source: fallback.source,
    hostIds: [facts.hostId],
    match: {
      path: facts.regex !== null ? { type: 'regex', value, ignoreCase: true, place: null } : { type: 'element', value },
      methods: null,
      headers: [],
      query: [],
    },
    // Sorts after every creation time.
    precedence: { priority: 0, order: '~' },
    filters: facts.deniedBackendId === null ? sourceFilters({}, options) : [],
    backends: [{ backendId: facts.deniedBackendId ?? fallback.backendId, weight: 1, filters: [] }],
    timeouts: routeTimeouts({}, options),
    retry: routeRetry({}, options),
    bodyLimit: options.bodyLimit,
  };
}
