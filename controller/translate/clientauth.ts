import type { ClientAuth } from '#table/clientauth.ts';
import type { Problem, Source } from '#table/problem.ts';
import { clientAuthFamily } from '../annotations/clientauth.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { Draft } from './draft.ts';
import { ageBeside, type HostShares, ownerOf } from './owner.ts';
import { problem } from './problems.ts';
import { authoritiesId, revocationsId, type SecretStates } from './upstreamtls.ts';

/** What the clients of a host have to prove. */
export interface HostAuth {
  clientAuth: ClientAuth | null;
  /** Secrets whose ca.crt, and ca.crl if it is there, the row needs. */
  authorities: readonly ObjectKey[];
  /** What was asked for cannot be had: the host is closed. null: open. */
  closing: { draft: Draft; annotation: string } | null;
  /** Ingresses of other namespaces that want more proved than the host does: their paths are closed. */
  unproven: ReadonlySet<Draft>;
  problems: readonly Problem[];
}

const names = Object.keys(clientAuthFamily) as (keyof typeof clientAuthFamily)[];

/** The Secret of a guest is one of its own namespace: whether it says the same is seen by what is in it. */
const beyondSecret = names.filter((name) => name !== 'auth-tls-secret');

/**
 * Settles auth-tls-* as ingress-nginx does: the oldest Ingress on the host that names a Secret decides for all of them, where
 * it is one of the host's owners.
 */
export function settleClientAuth(hostname: string, shares: HostShares, secrets: SecretStates): HostAuth {
  const { owners, guests } = shares;
  const winner = owners.find((draft) => draft.clientSecret !== null);
  const unproven = new Set(guests.filter((guest) => !isProven(guest, winner, secrets)));
  const problems = [...unproven].map((draft) => told(draft, shares, hostname));
  if (winner !== undefined) {
    for (const draft of owners) problems.push(...(draft === winner ? [] : overruled(draft, winner, hostname, names)));
    for (const draft of guests) {
      problems.push(...(unproven.has(draft) ? [] : overruled(draft, winner, hostname, beyondSecret)));
    }
  }
  const open = { clientAuth: null, authorities: [], closing: null, unproven, problems };
  if (winner?.clientSecret == null) return open;
  const { settings, keys } = winner.annotations;
  const mode = modeOf(winner);
  if (mode === null) return open;
  const { key, isForeign } = winner.clientSecret;
  const annotation = keys['auth-tls-secret'] ?? '';
  const state = secrets.authorities(key);
  const fault = isForeign ? `the Secret ${key} is in another namespace` : authoritiesFault(key, state);
  if (fault !== undefined || state.type !== 'good') {
    const at: Source = { ...winner.source, field: `metadata.annotations[${annotation}]` };
    const closes = problem('AnnotationClosesHost', at, { annotation, fault: fault ?? '' });
    return { ...open, closing: { draft: winner, annotation }, problems: [...problems, closes] };
  }
  return {
    ...open,
    clientAuth: {
      mode,
      caSecretId: authoritiesId(key),
      crlSecretId: state.crl === null ? null : revocationsId(key),
      depth: depthOf(winner),
      subject: settings['auth-tls-match-cn'] ?? null,
      errorPage: settings['auth-tls-error-page'] ?? null,
      passesCertificate: settings['auth-tls-pass-certificate-to-upstream'] ?? false,
      clearPrefixes: [...challenges],
    },
    authorities: [key],
  };
}

/**
 * HTTP-01 (RFC 8555 §8.3), by which the host gets its certificate. Not the operator's list of paths that are not redirected to
 * https: that says nothing of who may see them.
 */
const challenges = ['/.well-known/acme-challenge/'];

const modes = { on: 'require', off: null, optional: 'optional', optional_no_ca: 'optional-no-ca' } as const;

/** How much each asks of clients. */
const rigour = { require: 2, optional: 1, 'optional-no-ca': 0 } as const;

function modeOf({ annotations }: Draft): ClientAuth['mode'] | null {
  return modes[annotations.settings['auth-tls-verify-client'] ?? 'on'];
}

function depthOf({ annotations }: Draft): number {
  return annotations.settings['auth-tls-verify-depth'] ?? 1;
}

/** Whether clients of the host prove, by what the winner says, all that a guest asks of them; the Secret may be a copy. */
function isProven(guest: Draft, winner: Draft | undefined, secrets: SecretStates): boolean {
  const asked = guest.clientSecret === null ? null : modeOf(guest);
  if (guest.clientSecret === null || asked === null) return true;
  const given = winner === undefined ? null : modeOf(winner);
  if (winner?.clientSecret == null || given === null || guest.clientSecret.isForeign) return false;
  const wanted = secrets.authorities(guest.clientSecret.key);
  const trusted = secrets.authorities(winner.clientSecret.key);
  const subject = guest.annotations.settings['auth-tls-match-cn'];
  return (
    wanted.type === 'good' &&
    trusted.type === 'good' &&
    wanted.pem === trusted.pem &&
    (wanted.crl === null || wanted.crl === trusted.crl) &&
    rigour[given] >= rigour[asked] &&
    depthOf(winner) <= depthOf(guest) &&
    (subject === undefined || subject === winner.annotations.settings['auth-tls-match-cn'])
  );
}

function told(guest: Draft, shares: HostShares, hostname: string): Problem {
  const annotation = guest.annotations.keys['auth-tls-secret'] ?? '';
  const at: Source = { ...guest.source, field: `metadata.annotations[${annotation}]` };
  return problem('GuestUnproven', at, { annotation, host: hostname, ...ownerOf(shares) });
}

function authoritiesFault(key: ObjectKey, state: ReturnType<SecretStates['authorities']>): string | undefined {
  switch (state.type) {
    case 'missing':
      return `the Secret ${key} does not exist`;
    case 'absent':
      return `the Secret ${key} has no ca.crt`;
    case 'malformed':
      return `the Secret ${key} ${state.fault}`;
    case 'good':
      if (state.canBeNamed) return undefined;
      // Node names them all to clients, and OpenSSL then ends each handshake.
      return `the Secret ${key} holds ${state.count} authorities in ca.crt, whose names are longer together than the 64 KB that TLS can tell clients of`;
  }
}

function overruled(
  draft: Draft,
  winner: Draft,
  hostname: string,
  names: readonly (keyof typeof clientAuthFamily)[],
): Problem[] {
  return names.flatMap((name) => {
    const annotation = draft.annotations.keys[name];
    const mine = JSON.stringify(draft.annotations.settings[name]);
    if (annotation === undefined || mine === JSON.stringify(winner.annotations.settings[name])) return [];
    const at: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
    const values = { annotation, subject: `host ${hostname}`, winner: winner.key, age: ageBeside(draft, winner) };
    return [problem('AnnotationOverruled', at, values)];
  });
}
