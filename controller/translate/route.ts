import type { Filter } from '#table/filter.ts';
import type { PathMatch, Route } from '#table/route.ts';
import { targetUrl } from '../annotations/rewrite.ts';
import type { Draft, DraftPath } from './draft.ts';
import type { TranslateOptions } from './options.ts';
import { isPassthrough } from './passthrough.ts';
import { regexFault } from './regexcheck.ts';
import { guestPrecedence, placeOf } from './shield.ts';
import { sourcesOf } from './sources.ts';
import { routeRetry, routeTimeouts } from './waits.ts';

/** What a host as a whole decides for each of its paths. */
export interface HostFacts {
  hostId: string;
  /**
   * Every path is a case-insensitive regular expression: host, because one of the host's owners asks for it; guest, because one of
   * its own namespace does, on a host of others, where it must not go before what they say more of. null: none is.
   */
  regex: 'host' | 'guest' | null;
  /** Age of the Ingress for which a guest's are; '' otherwise. */
  regexSince: string;
  hasTls: boolean;
  /** Backend row that closes every path; null: open. */
  deniedBackendId: string | null;
  /** TLS goes to the backend of an Ingress that asks for it, undecrypted. */
  isPassedThrough: boolean;
}

/** The condition of a path. On a regex host the pathType does not matter any more. */
export function matchOf(path: DraftPath, facts: HostFacts): PathMatch {
  if (isRegex(path, facts)) {
    const place = facts.regex === 'guest' ? placeOf(path.path) : null;
    return { type: 'regex', value: path.path, ignoreCase: true, place };
  }
  if (path.kind === 'exact') return { type: 'exact', value: path.path };
  // "/foo/" does not cover "/foo": that is redirected (see host.ts).
  if (path.path.length > 1 && path.path.endsWith('/')) return { type: 'prefix', value: path.path };
  return { type: 'element', value: path.path };
}

/** Whether a path is a regular expression; a guest's default backend comes after the rules of all, whatever they are. */
export function isRegex({ kind }: DraftPath, { regex }: HostFacts): boolean {
  return regex === 'host' || (regex === 'guest' && kind !== 'default');
}

/** Whether a rewrite-target takes effect on a path: one that equals the path is none. */
export function rewriteOf(draft: Draft, path: DraftPath): string | null {
  const target = draft.annotations.settings['rewrite-target'];
  return target === undefined || target === path.path ? null : target;
}

/**
 * Makes route rows, and keeps each while its Ingress and what its host decides stay as they are: on a host that thousands
 * of Ingresses share, a change of one then costs a look at the others, not their rows.
 */
export class RouteRows {
  readonly #options: TranslateOptions;
  readonly #rowsByPath = new WeakMap<DraftPath, { row: Route; facts: HostFacts }>();
  readonly #regexFaultsByPath = new WeakMap<DraftPath, { fault: string | undefined }>();

  constructor(options: TranslateOptions) {
    this.#options = options;
  }

  of(draft: Draft, path: DraftPath, facts: HostFacts): Route {
    const known = this.#rowsByPath.get(path);
    if (known !== undefined && isSame(known.facts, facts)) return known.row;
    const row = routeOf(draft, path, facts, this.#options);
    this.#rowsByPath.set(path, { row, facts });
    return row;
  }

  /** What is wrong with the path as a regular expression; undefined when nothing is. */
  regexFaultOf(path: DraftPath): string | undefined {
    const known = this.#regexFaultsByPath.get(path);
    if (known !== undefined) return known.fault;
    const fault = regexFault(path.path);
    this.#regexFaultsByPath.set(path, { fault });
    return fault;
  }
}

function isSame(a: HostFacts, b: HostFacts): boolean {
  return (
    a.regex === b.regex &&
    a.regexSince === b.regexSince &&
    a.hasTls === b.hasTls &&
    a.deniedBackendId === b.deniedBackendId &&
    a.isPassedThrough === b.isPassedThrough
  );
}

/** The row of one path of one Ingress. */
export function routeOf(draft: Draft, path: DraftPath, facts: HostFacts, options: TranslateOptions): Route {
  const { settings } = draft.annotations;
  const age = `${draft.age}|${path.position}`;
  const isDenied = path.face.deniedBy !== null || facts.deniedBackendId !== null;
  return {
    id: path.routeId,
    source: path.source,
    hostIds: [facts.hostId],
    match: { path: matchOf(path, facts), methods: null, headers: [], query: [] },
    precedence: precedenceOf(path, age, facts),
    filters: isDenied
      ? []
      : isPassthrough(draft)
        ? redirectsOf(facts, options)
        : filtersOf(draft, path, facts, options),
    backends: backendsOf(draft, path, facts),
    timeouts: routeTimeouts(settings, options),
    retry: routeRetry(settings, options),
    bodyLimit: bodyLimitOf(settings['proxy-body-size'], options),
  };
}

/** What speaks TLS itself is never spoken to in plain HTTP: its paths redirect, or are closed where TLS ends here. */
function backendsOf(draft: Draft, path: DraftPath, facts: HostFacts): Route['backends'] {
  const { hostId, deniedBackendId, isPassedThrough } = facts;
  if (deniedBackendId === null && isPassthrough(draft) && isPassedThrough) return [];
  const own = isPassthrough(draft) ? `${hostId}#not-passed-through` : path.backendId;
  return [{ backendId: deniedBackendId ?? own, weight: 1, filters: [] }];
}

function redirectsOf({ isPassedThrough }: HostFacts, { httpRedirectStatus }: TranslateOptions): Filter[] {
  return isPassedThrough ? [{ type: 'https-redirect', status: httpRedirectStatus, exceptPrefixes: [] }] : [];
}

/** Of regular expressions: longest path text first, then in descending order of text; a default backend comes after all. */
function precedenceOf(path: DraftPath, age: string, facts: HostFacts): Route['precedence'] {
  if (path.kind === 'default' || !isRegex(path, facts)) return { priority: 0, order: age };
  const order = `${descending(path.path)}|${age}`;
  return facts.regex === 'guest'
    ? guestPrecedence(path.path, facts.regexSince, order)
    : { priority: path.path.length, order };
}

/** Text that sorts in the opposite order among texts of one length. */
function descending(text: string): string {
  return text.replace(/[\x20-\x7e]/g, (char) => String.fromCharCode(0x9e - char.charCodeAt(0)));
}

function filtersOf(draft: Draft, path: DraftPath, facts: HostFacts, options: TranslateOptions): Filter[] {
  const { settings } = draft.annotations;
  const filters: Filter[] = [];
  const isForced = settings['force-ssl-redirect'] ?? options.forceSslRedirect;
  if (isForced || (facts.hasTls && (settings['ssl-redirect'] ?? options.sslRedirect))) {
    filters.push({
      type: 'https-redirect',
      status: options.httpRedirectStatus,
      exceptPrefixes: [...options.noTlsRedirectPrefixes],
    });
  }
  filters.push(...sourceFilters(settings, options));
  const target = rewriteOf(draft, path);
  const redirect = target === null ? null : redirectOf(target);
  if (redirect !== null) return [...filters, redirect];
  const hostname = backendHost(settings['upstream-vhost'], path.service);
  if (target !== null || hostname !== null) {
    filters.push({
      type: 'rewrite',
      hostname,
      path: target === null ? null : { type: 'captures', value: target },
    });
  }
  const prefix = settings['x-forwarded-prefix'];
  if (target !== null && prefix !== undefined && !prefix.includes('$')) {
    const edits = { set: [{ name: 'X-Forwarded-Prefix', value: prefix }], add: [], remove: [] };
    filters.push({ type: 'request-headers', edits });
  }
  const tracing = {
    isOn: settings['enable-opentelemetry'] ?? null,
    continues: settings['opentelemetry-trust-incoming-span'] ?? null,
  };
  if (tracing.isOn !== null || tracing.continues !== null) filters.push({ type: 'tracing', ...tracing });
  const { compression } = settings;
  if (compression !== undefined) filters.push({ type: 'compression', compression });
  return filters;
}

/** At most one filter: none where everybody may come. */
export function sourceFilters(settings: Parameters<typeof sourcesOf>[0], options: TranslateOptions): Filter[] {
  const sources = sourcesOf(settings, options);
  return sources === null ? [] : [{ type: 'source-ranges', sources }];
}

/** A rewrite-target that is a URL makes nginx answer 302 with it instead of forwarding. */
function redirectOf(target: string): Filter | null {
  const url = targetUrl(target);
  if (url === undefined) return null;
  return { type: 'redirect', ...url, path: { type: 'captures', value: url.path }, status: 302 };
}

/** The host that upstream-vhost names for a Service. */
export function backendHost(template: string | undefined, service: DraftPath['service']): string | null {
  if (template === undefined) return null;
  const { namespace, name, port } = service;
  return template
    .replaceAll('$service_name', name)
    .replaceAll('$service_port', port)
    .replaceAll('$namespace', namespace);
}

function bodyLimitOf(bytes: number | undefined, options: TranslateOptions): number | null {
  if (bytes === undefined) return options.bodyLimit;
  return bytes === 0 ? null : bytes;
}
