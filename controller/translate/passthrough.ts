import type { L4Route } from '#table/l4route.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { HostAuth } from './clientauth.ts';
import type { Draft, DraftPath } from './draft.ts';
import { everyHost } from './names.ts';
import { everyClient, type TranslateOptions } from './options.ts';
import { type HostShares, namespaceOf } from './owner.ts';
import { problem } from './problems.ts';
import { sourcesOf } from './sources.ts';

/** Whether TLS of a host goes to its backend undecrypted (ssl-passthrough). */
export interface HostPassthrough {
  /** Where to; null: TLS of the host ends here. */
  root: { draft: Draft; path: DraftPath } | null;
  problems: Problem[];
}

type InVain = 'PassthroughWithoutHost' | 'PassthroughOverruled' | 'PassthroughUnverified' | 'PassthroughWithoutRoot';

/** Asks for ssl-passthrough, and nothing closes its paths. */
export function isPassthrough(draft: Draft): boolean {
  return draft.face.transport === 'tcp';
}

/**
 * Decides as ingress-nginx does: the oldest Ingress of those whose host it is, whether it asks or not, so that nobody takes the TLS of a host
 * that others serve already; all of it goes to the Service of path "/" of an Ingress of its namespace. An Ingress that asks in vain
 * is closed: its author trusts nobody between the client and the backend.
 *
 * @param drafts Ingresses on the host, oldest first
 * @param shares the same, by whose the host is
 * @param auth client certificates that the host asks for, which nobody here could verify then
 */
export function settlePassthrough(
  hostname: string,
  drafts: readonly Draft[],
  { oldest }: HostShares,
  auth: HostAuth,
): HostPassthrough {
  const asking = drafts.filter(isPassthrough);
  if (asking.length === 0 || oldest === null) return { root: null, problems: [] };
  const inVain = (code: InVain): HostPassthrough => ({
    root: null,
    problems: asking.map((draft) => problem(code, sourceOn(draft, hostname), { host: hostname, winner: oldest.key })),
  });
  if (hostname === everyHost) return inVain('PassthroughWithoutHost');
  if (!isPassthrough(oldest)) return inVain('PassthroughOverruled');
  if (auth.clientAuth !== null) return inVain('PassthroughUnverified');
  const all = asking.flatMap((draft) => pathsOf(draft, hostname).map((path) => ({ draft, path })));
  const isOwn = ({ draft }: { draft: Draft }): boolean => namespaceOf(draft) === namespaceOf(oldest);
  const own = all.filter(isOwn);
  const root = own.find(({ path }) => path.kind !== 'default' && path.path === '/') ?? own.find(isDefault);
  if (root === undefined) return inVain('PassthroughWithoutRoot');
  const unreached = all.filter((one) => one.path.kind !== 'default' && (one.path.path !== '/' || !isOwn(one)));
  const others = drafts.filter((draft) => !isPassthrough(draft) && pathsOf(draft, hostname).length > 0);
  return {
    root,
    problems: [
      ...unreached.map(({ path }) =>
        problem('PassthroughPathUnreached', path.source, { host: hostname, path: path.path }),
      ),
      ...others.map((draft) =>
        problem('HostPassedThrough', sourceOn(draft, hostname), { host: hostname, winner: root.draft.key }),
      ),
    ],
  };
}

/** The row by which the TLS connections of the host go on. */
export function passthroughRow(
  hostname: string,
  { draft, path }: NonNullable<HostPassthrough['root']>,
  options: TranslateOptions,
): L4Route {
  const { flows, timeouts } = options;
  return {
    id: `passthrough/${hostname}`,
    source: path.source,
    listenerIds: ['https'],
    hostnames: [hostname],
    wildcard: 'one',
    order: draft.age,
    backends: [{ backendId: path.backendId, weight: 1 }],
    sources: sourcesOf(draft.annotations.settings, options),
    timeouts: { connectMs: timeouts.connectMs, idleMs: flows.tcpIdleMs },
    retry: flows.retry,
    sendProxyProtocol: null,
    responses: null,
    clients: everyClient,
  };
}

function isDefault({ path }: { path: DraftPath }): boolean {
  return path.kind === 'default';
}

function pathsOf(draft: Draft, hostname: string): readonly DraftPath[] {
  return draft.pathsByHost.get(hostname) ?? [];
}

function sourceOn(draft: Draft, hostname: string): Source {
  return draft.hosts.get(hostname) ?? draft.source;
}
