import type { Backend } from '#table/backend.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Route } from '#table/route.ts';
import type { Row } from '#table/rows.ts';
import { sourceNames } from '../annotations/sources.ts';
import { brokenBackend } from './backendrow.ts';
import { certainOf } from './certain.ts';
import type { HostAuth } from './clientauth.ts';
import type { Draft, DraftPath } from './draft.ts';
import type { TranslateOptions } from './options.ts';
import type { HostShares } from './owner.ts';
import { isPassthrough } from './passthrough.ts';
import { problem } from './problems.ts';
import { type HostFacts, routeOf, sourceFilters } from './route.ts';

/**
 * What stands in for a regular expression that cannot be used, where its Ingress keeps somebody out: all that begins as it does is
 * closed, or another rule would open it. null: nobody is kept out.
 */
export function closedRoute(draft: Draft, path: DraftPath, facts: HostFacts, options: TranslateOptions): Route | null {
  const { settings } = draft.annotations;
  // Lists of the ConfigMap hold for other rules, too.
  const isListed =
    sourceNames.some((name) => settings[name] !== undefined) && sourceFilters(settings, options).length > 0;
  if (isPassthrough(draft) || (path.face.deniedBy === null && !isListed)) return null;
  const value = certainOf(path.path);
  const route = routeOf(draft, { ...path, path: value }, facts, options);
  return {
    ...route,
    filters: route.filters.filter(({ type }) => type === 'https-redirect' || type === 'source-ranges'),
    backends: [{ backendId: `${facts.hostId}#refused`, weight: 1, filters: [] }],
  };
}

/** What stands behind all closed routes of a host. */
export function refusedBackend(hostId: string, source: Source, options: TranslateOptions): Backend {
  const message = 'The regular expression of this path cannot be used, so it is closed.';
  const service = { namespace: source.namespace, name: source.name, port: '' };
  const broken = { status: 503, code: 'PathRegexInvalid', message };
  return brokenBackend(options, `${hostId}#refused`, source, service, broken);
}

/** What stands behind the paths of guests who ask more of clients than the host does. */
export function unprovenBackend(hostId: string, source: Source, options: TranslateOptions): Backend {
  const message = 'Clients of this host are not asked for the certificate that this path needs, so it is closed.';
  const service = { namespace: source.namespace, name: source.name, port: '' };
  return brokenBackend(options, `${hostId}#unproven`, source, service, { status: 503, code: 'GuestUnproven', message });
}

/** Why every path of a host is closed. */
export interface Closing {
  source: Source;
  message: string;
  /** Whose annotation protects the host and cannot be honoured; null: the ConfigMap's key. */
  cause: { draft: Draft; annotation: string } | null;
}

/**
 * An annotation of one Ingress or a key of the ConfigMap protects the host as a whole, and cannot be honoured. Guests have closed
 * their own paths by theirs.
 */
export function closingOf({ owners }: HostShares, auth: HostAuth, { closedBy }: TranslateOptions): Closing | null {
  if (closedBy !== null) {
    return { source: closedBy, message: 'The gateway is closed until its ConfigMap is corrected.', cause: null };
  }
  const denier = owners.find((draft) => draft.annotations.hostDeniedBy !== null);
  const denial = denier && { draft: denier, annotation: denier.annotations.hostDeniedBy ?? '' };
  const cause = denial ?? auth.closing;
  if (cause === null) return null;
  const { draft, annotation } = cause;
  const source: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
  return { source, message: `${annotation} cannot be honoured, so this host is closed.`, cause };
}

/** What stands behind every path of a closed host. */
export function deniedBackend(hostId: string, { source, message }: Closing, options: TranslateOptions): Backend {
  const { namespace, name } = source;
  const broken = { status: 503, code: 'HostDenied', message };
  return brokenBackend(options, `${hostId}#denied`, source, { namespace, name, port: '' }, broken);
}

/** What stands behind the paths of Ingresses that ask for passthrough in vain. */
export function closedPassthrough(hostId: string, drafts: readonly Draft[], options: TranslateOptions): Row[] {
  const asking = drafts.find(isPassthrough);
  if (asking === undefined) return [];
  const { source } = asking;
  const message = 'TLS of this host is not passed through, so this path is closed.';
  const service = { namespace: source.namespace, name: source.name, port: '' };
  const broken = { status: 503, code: 'PassthroughOverruled', message };
  return [{ kind: 'backend', row: brokenBackend(options, `${hostId}#not-passed-through`, source, service, broken) }];
}

/** The others on a closed host hear of it; the Ingress that closes it has been told by its own annotation. */
export function denials(drafts: readonly Draft[], closing: Closing | null, hostname: string): Problem[] {
  const cause = closing?.cause ?? null;
  if (cause === null) return [];
  const values = { host: hostname, annotation: cause.annotation, cause: cause.draft.key };
  return drafts
    .filter((draft) => draft !== cause.draft && draft.face.deniedBy === null)
    .map((draft) => problem('HostDenied', draft.hosts.get(hostname) ?? draft.source, values));
}
