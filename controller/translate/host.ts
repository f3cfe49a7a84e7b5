import type { Backend } from '#table/backend.ts';
import type { Host } from '#table/listener.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Route } from '#table/route.ts';
import type { Row } from '#table/rows.ts';
import { sourceNames } from '../annotations/sources.ts';
import { brokenBackend } from './backendrow.ts';
import type { HostAuth } from './clientauth.ts';
import type { Draft, DraftPath } from './draft.ts';
import type { HostTls } from './hosttls.ts';
import { everyHost } from './names.ts';
import type { TranslateOptions } from './options.ts';
import { isPassthrough, passthroughRow, settlePassthrough } from './passthrough.ts';
import { problem } from './problems.ts';
import { type HostFacts, matchOf, type RouteRows, rewriteOf, routeOf, sourceFilters } from './route.ts';
import { routeRetry, routeTimeouts } from './waits.ts';

/** Everything that one hostname is made of. */
export interface HostInput {
  hostname: string;
  /** Ingresses on it, oldest first. */
  drafts: readonly Draft[];
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
  const { hostname, drafts, tls, auth, fallback } = input;
  if (drafts.length === 0 && (hostname !== everyHost || fallback === null)) return { rows: [], problems: [] };
  const hostId = `ingress/${hostname}`;
  const passthrough = settlePassthrough(hostname, drafts, auth);
  const regexCause = drafts.find((draft) => asksForRegex(draft, hostname));
  const closing = closingOf(drafts, auth, options);
  const root = closing === null ? passthrough.root : null;
  const suites = drafts.find((draft) => draft.annotations.settings['ssl-ciphers'] !== undefined);
  const facts: HostFacts = {
    hostId,
    isRegex: regexCause !== undefined,
    hasTls: tls.isSet,
    deniedBackendId: closing === null ? null : `${hostId}#denied`,
    isPassedThrough: root !== null,
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
  const [appRoot] = rooted;
  const rootRoute = appRoot === undefined ? null : appRootRoute(appRoot, hostname, options);
  // app-root answers before any rule is looked at, so a rule for exactly "/" cannot be reached.
  if (rootRoute !== null && appRoot !== undefined) {
    routes.push(rootRoute);
    winners.set('exact /', appRoot.key);
    for (const draft of rooted) problems.push(...overruled(draft, appRoot, hostname, 'app-root'));
  }
  if (suites !== undefined)
    for (const draft of drafts) problems.push(...overruled(draft, suites, hostname, 'ssl-ciphers'));

  for (const { draft, path } of pathsOf(drafts, hostname)) {
    const fault = facts.isRegex ? routeRows.regexFaultOf(path) : undefined;
    if (fault !== undefined) {
      refusals.push({ draft, path, fault });
      continue;
    }
    const match = matchOf(path, facts.isRegex);
    const key = `${match.type} ${match.value}`;
    const winner = winners.get(key);
    if (winner !== undefined) {
      if (path.kind !== 'default') {
        problems.push(problem('PathConflict', pathSource(path), { path: path.path, host: hostname, winner }));
      }
      continue;
    }
    winners.set(key, draft.key);
    routes.push(routeRows.of(draft, path, facts));
  }

  // After all rules that can be used: nothing is closed that one of them names.
  const refused: Route[] = [];
  for (const { draft, path, fault } of refusals) {
    const closed = closing === null ? closedRoute(draft, path, facts, options) : null;
    const value = closed?.match.path.value ?? '';
    const isClosed = closed !== null && !winners.has(`regex ${value}`);
    const outcome = isClosed ? `what begins with "${value}" is answered with 503` : 'it is left out';
    problems.push(problem('PathRegexInvalid', pathSource(path), { path: path.path, host: hostname, fault, outcome }));
    if (!isClosed) continue;
    winners.set(`regex ${value}`, draft.key);
    refused.push(closed);
  }
  routes.push(...refused);

  problems.push(...defaultConflicts(drafts, hostname));
  if (regexCause === undefined) routes.push(...slashRedirects(routes, winners));
  else problems.push(...regexWarnings(drafts, hostname, regexCause), ...unsentCookies(drafts, hostname));
  const everything = facts.isRegex ? 'regex /' : 'element /';
  if (fallback !== null && !winners.has(everything)) routes.push(fallbackRoute(hostname, fallback, facts, options));

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
  const rows: Row[] = [{ kind: 'host', row: host }, ...routes.map((row) => ({ kind: 'route', row }) as const)];
  if (closing !== null) rows.push({ kind: 'backend', row: deniedBackend(hostId, closing, options) });
  else if (root !== null) rows.push({ kind: 'l4route', row: passthroughRow(hostname, root, options) });
  else rows.push(...closedPassthrough(hostId, drafts, options));
  const [first] = refused;
  if (first !== undefined) rows.push({ kind: 'backend', row: refusedBackend(hostId, first.source, options) });
  return { rows, problems };
}

/**
 * What stands in for a regular expression that cannot be used, where its Ingress keeps somebody out: all that begins as it does is
 * closed, or another rule would open it. null: nobody is kept out.
 */
function closedRoute(draft: Draft, path: DraftPath, facts: HostFacts, options: TranslateOptions): Route | null {
  const { settings } = draft.annotations;
  // Lists of the ConfigMap hold for other rules, too.
  const isListed =
    sourceNames.some((name) => settings[name] !== undefined) && sourceFilters(settings, options).length > 0;
  if (isPassthrough(draft) || (path.face.deniedBy === null && !isListed)) return null;
  // What is certain of the text: a character that a quantifier may take away is not.
  const [value] = /^(?:[^\\^$.|?*+()[\]{}](?![?*{]))*/.exec(path.path) ?? [''];
  const route = routeOf(draft, { ...path, path: value }, facts, options);
  return {
    ...route,
    filters: route.filters.filter(({ type }) => type === 'https-redirect' || type === 'source-ranges'),
    backends: [{ backendId: `${facts.hostId}#refused`, weight: 1, filters: [] }],
  };
}

/** What stands behind all closed routes of a host. */
function refusedBackend(hostId: string, source: Source, options: TranslateOptions): Backend {
  const message = 'The regular expression of this path cannot be used, so it is closed.';
  const service = { namespace: source.namespace, name: source.name, port: '' };
  const broken = { status: 503, code: 'PathRegexInvalid', message };
  return brokenBackend(options, `${hostId}#refused`, source, service, broken);
}

/** Why every path of a host is closed. */
interface Closing {
  source: Source;
  message: string;
  /** Whose annotation protects the host and cannot be honoured; null: the ConfigMap's key. */
  cause: { draft: Draft; annotation: string } | null;
}

/** An annotation of one Ingress or a key of the ConfigMap protects the host as a whole, and cannot be honoured. */
function closingOf(drafts: readonly Draft[], auth: HostAuth, { closedBy }: TranslateOptions): Closing | null {
  if (closedBy !== null) {
    return { source: closedBy, message: 'The gateway is closed until its ConfigMap is corrected.', cause: null };
  }
  const denier = drafts.find((draft) => draft.annotations.hostDeniedBy !== null);
  const denial = denier && { draft: denier, annotation: denier.annotations.hostDeniedBy ?? '' };
  const cause = denial ?? auth.closing;
  if (cause === null) return null;
  const { draft, annotation } = cause;
  const source: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
  return { source, message: `${annotation} cannot be honoured, so this host is closed.`, cause };
}

/** What stands behind every path of a closed host. */
function deniedBackend(hostId: string, { source, message }: Closing, options: TranslateOptions): Backend {
  const { namespace, name } = source;
  const broken = { status: 503, code: 'HostDenied', message };
  return brokenBackend(options, `${hostId}#denied`, source, { namespace, name, port: '' }, broken);
}

/** What stands behind the paths of Ingresses that ask for passthrough in vain. */
function closedPassthrough(hostId: string, drafts: readonly Draft[], options: TranslateOptions): Row[] {
  const asking = drafts.find(isPassthrough);
  if (asking === undefined) return [];
  const { source } = asking;
  const message = 'TLS of this host is not passed through, so this path is closed.';
  const service = { namespace: source.namespace, name: source.name, port: '' };
  const broken = { status: 503, code: 'PassthroughOverruled', message };
  return [{ kind: 'backend', row: brokenBackend(options, `${hostId}#not-passed-through`, source, service, broken) }];
}

/** The others on a closed host hear of it; the Ingress that closes it has been told by its own annotation. */
function denials(drafts: readonly Draft[], closing: Closing | null, hostname: string): Problem[] {
  const cause = closing?.cause ?? null;
  if (cause === null) return [];
  const values = { host: hostname, annotation: cause.annotation, cause: cause.draft.key };
  return drafts
    .filter((draft) => draft !== cause.draft && draft.face.deniedBy === null)
    .map((draft) => problem('HostDenied', draft.hosts.get(hostname) ?? draft.source, values));
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

function regexWarnings(drafts: readonly Draft[], hostname: string, cause: Draft): Problem[] {
  return drafts
    .filter((draft) => !asksForRegex(draft, hostname) && pathsOn(draft, hostname).length > 0)
    .map((draft) =>
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

/** nginx answers "/foo" with 301 to "/foo/" where only "/foo/" is routed; users know it as the missing slash being added. */
function slashRedirects(routes: readonly Route[], winners: ReadonlyMap<string, string>): Route[] {
  const redirects: Route[] = [];
  for (const route of routes) {
    const { path } = route.match;
    if (path.type !== 'prefix') continue;
    const bare = path.value.slice(0, -1);
    if (winners.has(`exact ${bare}`) || winners.has(`element ${bare}`)) continue;
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
    isRegex: false,
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

function overruled(draft: Draft, winner: Draft, hostname: string, name: 'app-root' | 'ssl-ciphers'): Problem[] {
  const annotation = draft.annotations.keys[name];
  const value = draft.annotations.settings[name];
  if (annotation === undefined || value === winner.annotations.settings[name]) return [];
  const values = { annotation, subject: `host ${hostname}`, winner: winner.key, age: 'older' };
  return [problem('AnnotationOverruled', { ...draft.source, field: `metadata.annotations[${annotation}]` }, values)];
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
      path: facts.isRegex ? { type: 'regex', value, ignoreCase: true } : { type: 'element', value },
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
