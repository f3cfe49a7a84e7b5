import type { Problem } from '#table/problem.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { CertificateState } from './certificates.ts';
import type { Draft, DraftTls } from './draft.ts';
import { coversHost, everyHost, wildcardOf } from './names.ts';
import { problem } from './problems.ts';

/** How TLS of a host is decided. */
export interface HostTls {
  /** Some Ingress sets TLS for the host, with or without a usable Secret: then http is redirected. */
  isSet: boolean;
  /** Secrets whose certificate is served; empty: the default certificate. */
  certificates: readonly ObjectKey[];
  problems: readonly Problem[];
}

/**
 * Decides TLS of a host as ingress-nginx does: the oldest Ingress that sets TLS for it wins; a host without any takes what
 * its one-label wildcard has. A Secret that is missing, broken or for other names means the default certificate, never
 * a refused handshake: cert-manager's self-check has to get through while the Secret is not there yet.
 * @param draftsOf Ingresses on a hostname, oldest first
 */
export function settleTls(
  hostname: string,
  draftsOf: (hostname: string) => readonly Draft[],
  stateOf: (secret: ObjectKey) => CertificateState,
): HostTls {
  const own = settleOwn(hostname, draftsOf(hostname), stateOf);
  const wildcard = wildcardOf(hostname);
  if (own.isSet || wildcard === undefined) return own;
  const inherited = settleOwn(wildcard, draftsOf(wildcard), stateOf);
  return { ...inherited, problems: own.problems };
}

function settleOwn(
  hostname: string,
  drafts: readonly Draft[],
  stateOf: (secret: ObjectKey) => CertificateState,
): HostTls {
  const problems: Problem[] = [];
  let winner: { draft: Draft; entry: DraftTls } | undefined;
  for (const draft of drafts) {
    const entry = entryFor(hostname, draft, stateOf);
    if (entry === undefined) continue;
    if (winner === undefined) {
      winner = { draft, entry };
      continue;
    }
    if (winner.entry.secretKey === entry.secretKey) continue;
    const winnerSecret = winner.entry.secretKey === null ? 'no Secret' : `Secret ${winner.entry.secretKey}`;
    problems.push(problem('TlsConflict', entry.source, { host: hostname, winner: winner.draft.key, winnerSecret }));
  }
  if (winner === undefined) return { isSet: false, certificates: [], problems };
  const { secretKey, source } = winner.entry;
  const state = secretKey === null ? null : stateOf(secretKey);
  if (secretKey === null || state?.type !== 'good') return { isSet: true, certificates: [], problems };
  if (state.row.names.some((name) => coversHost(name, hostname))) {
    return { isSet: true, certificates: [secretKey], problems };
  }
  const names = state.row.names.join(', ') || 'no name at all';
  problems.push(problem('CertificateHostMismatch', source, { secret: secretKey, names, host: hostname }));
  return { isSet: true, certificates: [], problems };
}

/** The TLS entry that lists the host, else one whose wildcard does, else one whose certificate happens to cover it. */
function entryFor(
  hostname: string,
  draft: Draft,
  stateOf: (secret: ObjectKey) => CertificateState,
): DraftTls | undefined {
  if (hostname === everyHost) return undefined;
  const wildcard = wildcardOf(hostname);
  const listed = draft.tlsByHost.get(hostname) ?? (wildcard && draft.tlsByHost.get(wildcard));
  if (listed) return listed;
  return draft.tls.find((entry) => {
    const state = entry.secretKey === null ? null : stateOf(entry.secretKey);
    return state?.type === 'good' && state.row.names.some((name) => coversHost(name, hostname));
  });
}
