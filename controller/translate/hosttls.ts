import type { Problem, Source } from '#table/problem.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { CertificateState } from './certificates.ts';
import { takesPair } from './ciphers.ts';
import type { Draft, DraftTls } from './draft.ts';
import { coversHost, everyHost, wildcardOf } from './names.ts';
import { type HostShares, namespaceOf, ownerOf } from './owner.ts';
import { problem } from './problems.ts';

/** How TLS of a host is decided. */
export interface HostTls {
  /** TLS is set for the host, with or without a usable Secret: then http is redirected. */
  isSet: boolean;
  /** Namespaces whose Ingresses set it for their own paths, where it is not set for the host. */
  guestNamespaces: ReadonlySet<string>;
  /** Secrets whose certificate is served; empty: the default certificate. */
  certificates: readonly ObjectKey[];
  /** Secrets that something depends on, beside these. */
  consulted: readonly ObjectKey[];
  problems: readonly Problem[];
}

interface Setting {
  draft: Draft;
  entry: DraftTls;
}

type StateOf = (secret: ObjectKey) => CertificateState;

/**
 * Decides TLS of a host as ingress-nginx does: the oldest Ingress that sets TLS for it wins, of those that it belongs to; a host
 * without any takes what its one-label wildcard has, if that was there before it or is of the same namespace. A Secret that is
 * missing, broken or for other names means the default certificate, never a refused handshake: cert-manager's self-check has to
 * get through while the Secret is not there yet.
 *
 * What other namespaces set makes nobody else's http redirect. Their certificate is served where the default one is for other
 * names, which clients would refuse: so it does no harm.
 *
 * @param sharesOf Ingresses on a hostname
 * @param defaultSecret of the default certificate; null: one that no client trusts
 */
export function settleTls(
  hostname: string,
  sharesOf: (hostname: string) => HostShares,
  stateOf: StateOf,
  defaultSecret: ObjectKey | null,
): HostTls {
  const shares = sharesOf(hostname);
  const wildcard = wildcardOf(hostname);
  const own = settingsOf(hostname, shares.owners, stateOf);
  const theirs = settingsOf(hostname, shares.guests, stateOf);
  const inherited = wildcard === undefined ? undefined : inheritedOf(wildcard, sharesOf(wildcard), shares, stateOf);
  const winner = own[0] ?? (inherited !== undefined && isBefore(inherited.draft, shares) ? inherited : undefined);
  if (winner !== undefined) {
    const { certificates, problems } = servedOf(
      winner,
      winner === inherited ? (wildcard ?? hostname) : hostname,
      stateOf,
    );
    const losers = [...own.slice(1), ...theirs].sort((a, b) => (a.draft.age < b.draft.age ? -1 : 1));
    const conflicts = losers.flatMap((loser) => conflict(hostname, winner, loser));
    // What is wrong with that of the wildcard is told of the wildcard.
    const told = winner === inherited ? conflicts : [...conflicts, ...problems];
    told.push(...certificates.flatMap((secret) => refused(hostname, shares, secret, stateOf)));
    return { isSet: true, guestNamespaces: new Set(), certificates, consulted: [], problems: told };
  }

  const guest = theirs[0] ?? inherited;
  const guestNamespaces = new Set(theirs.map(({ draft }) => namespaceOf(draft)));
  if (inherited !== undefined) guestNamespaces.add(namespaceOf(inherited.draft));
  const none = { isSet: false, guestNamespaces, certificates: [], consulted: [], problems: [] };
  if (guest === undefined) return { ...none, problems: uncovered(hostname, shares, stateOf) };
  const fallback = defaultSecret === null ? undefined : stateOf(defaultSecret);
  const isCovered = fallback?.type === 'good' && fallback.row.names.some((name) => coversHost(name, hostname));
  const { certificates, problems } = servedOf(guest, guest === inherited ? (wildcard ?? hostname) : hostname, stateOf);
  const served = isCovered ? [] : certificates;
  const conflicts = theirs.slice(1).flatMap((loser) => conflict(hostname, guest, loser));
  return {
    ...none,
    certificates: served,
    consulted: defaultSecret === null ? [] : [defaultSecret],
    problems: [
      ...conflicts,
      ...(guest === inherited ? [] : problems),
      ...served.flatMap((secret) => refused(hostname, shares, secret, stateOf)),
      ...theirs.map(({ entry }) => problem('GuestTls', entry.source, { host: hostname, ...ownerOf(shares) })),
    ],
  };
}

/** Suites of the host may raise the level of security above what a certificate has: the proxy then serves the default one. */
function refused(hostname: string, { owners }: HostShares, secret: ObjectKey, stateOf: StateOf): Problem[] {
  const draft = owners.find(({ annotations }) => annotations.settings['ssl-ciphers'] !== undefined);
  const ciphers = draft?.annotations.settings['ssl-ciphers'];
  const state = stateOf(secret);
  // Nothing else in a list has a say in it.
  if (draft === undefined || ciphers === undefined || !ciphers.includes('@') || state.type !== 'good') return [];
  if (takesPair(ciphers, state.row)) return [];
  const annotation = draft.annotations.keys['ssl-ciphers'] ?? '';
  const at: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
  return [problem('CertificateRefused', at, { annotation, secret, host: hostname })];
}

/** Entries that list no host are for all whose names the certificate has: that it has not this one is seen nowhere else. */
function uncovered(hostname: string, { owners, guests }: HostShares, stateOf: StateOf): Problem[] {
  if (hostname === everyHost) return [];
  return [...owners, ...guests].flatMap((draft) => {
    const entries = draft.tls.filter(({ hosts }) => hosts.length === 0);
    return entries.flatMap((entry) => servedOf({ draft, entry }, hostname, stateOf).problems);
  });
}

/** Of the wildcard's guests, those alone who have the host below it may set TLS for it. */
function inheritedOf(
  wildcard: string,
  above: HostShares,
  { oldest }: HostShares,
  stateOf: StateOf,
): Setting | undefined {
  const [setting] = settingsOf(wildcard, above.owners, stateOf);
  if (setting !== undefined || oldest === null) return setting;
  const kin = above.guests.filter((draft) => namespaceOf(draft) === namespaceOf(oldest));
  return settingsOf(wildcard, kin, stateOf)[0];
}

/** Whether the Ingress of a wildcard may decide for a host below it. */
function isBefore(draft: Draft, { claim }: HostShares): boolean {
  return claim === null || draft.age < claim.age || namespaceOf(draft) === namespaceOf(claim);
}

function settingsOf(hostname: string, drafts: readonly Draft[], stateOf: StateOf): Setting[] {
  return drafts.flatMap((draft) => {
    const entry = entryFor(hostname, draft, stateOf);
    return entry === undefined ? [] : [{ draft, entry }];
  });
}

function conflict(hostname: string, winner: Setting, { entry }: Setting): Problem[] {
  const { secretKey } = winner.entry;
  if (secretKey === entry.secretKey) return [];
  const winnerSecret = secretKey === null ? 'no Secret' : `Secret ${secretKey}`;
  return [problem('TlsConflict', entry.source, { host: hostname, winner: winner.draft.key, winnerSecret })];
}

/** @param hostname that the entry is for: the host, or the wildcard above it */
function servedOf(
  { entry: { secretKey, source } }: Setting,
  hostname: string,
  stateOf: StateOf,
): { certificates: ObjectKey[]; problems: Problem[] } {
  const state = secretKey === null ? null : stateOf(secretKey);
  if (secretKey === null || state?.type !== 'good') return { certificates: [], problems: [] };
  if (state.row.names.some((name) => coversHost(name, hostname))) return { certificates: [secretKey], problems: [] };
  const names = state.row.names.join(', ') || 'no name at all';
  const mismatch = problem('CertificateHostMismatch', source, { secret: secretKey, names, host: hostname });
  return { certificates: [], problems: [mismatch] };
}

/** The TLS entry that lists the host, else one whose wildcard does, else one whose certificate happens to cover it. */
function entryFor(hostname: string, draft: Draft, stateOf: StateOf): DraftTls | undefined {
  if (hostname === everyHost) return undefined;
  const wildcard = wildcardOf(hostname);
  const listed = draft.tlsByHost.get(hostname) ?? (wildcard && draft.tlsByHost.get(wildcard));
  if (listed) return listed;
  return draft.tls.find((entry) => {
    const state = entry.secretKey === null ? null : stateOf(entry.secretKey);
    return state?.type === 'good' && state.row.names.some((name) => coversHost(name, hostname));
  });
}
