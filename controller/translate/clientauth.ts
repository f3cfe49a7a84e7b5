import type { ClientAuth } from '#table/clientauth.ts';
import type { Problem, Source } from '#table/problem.ts';
import { clientAuthFamily } from '../annotations/clientauth.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { Draft } from './draft.ts';
import { problem } from './problems.ts';
import { authoritiesId, revocationsId, type SecretStates } from './upstreamtls.ts';

/** What the clients of a host have to prove. */
export interface HostAuth {
  clientAuth: ClientAuth | null;
  /** Secrets whose ca.crt, and ca.crl if it is there, the row needs. */
  authorities: readonly ObjectKey[];
  /** What was asked for cannot be had: the host is closed. null: open. */
  closing: { draft: Draft; annotation: string } | null;
  problems: readonly Problem[];
}

const names = Object.keys(clientAuthFamily) as (keyof typeof clientAuthFamily)[];

/**
 * Settles auth-tls-* as ingress-nginx does: the oldest Ingress on the host that names a Secret decides for all of them.
 * @param drafts on the host, oldest first
 */
export function settleClientAuth(hostname: string, drafts: readonly Draft[], secrets: SecretStates): HostAuth {
  const winner = drafts.find((draft) => draft.clientSecret !== null);
  if (winner?.clientSecret == null) return { clientAuth: null, authorities: [], closing: null, problems: [] };
  const problems = drafts.flatMap((draft) => (draft === winner ? [] : overruled(draft, winner, hostname)));
  const { settings, keys } = winner.annotations;
  const mode = modes[settings['auth-tls-verify-client'] ?? 'on'];
  const open = { clientAuth: null, authorities: [], closing: null, problems };
  if (mode === null) return open;
  const { key, isForeign } = winner.clientSecret;
  const annotation = keys['auth-tls-secret'] ?? '';
  const state = secrets.authorities(key);
  const fault = isForeign ? `the Secret ${key} is in another namespace` : authoritiesFault(key, state);
  if (fault !== undefined || state.type !== 'good') {
    const at: Source = { ...winner.source, field: `metadata.annotations[${annotation}]` };
    const told = problem('AnnotationClosesHost', at, { annotation, fault: fault ?? '' });
    return { ...open, closing: { draft: winner, annotation }, problems: [...problems, told] };
  }
  return {
    clientAuth: {
      mode,
      caSecretId: authoritiesId(key),
      crlSecretId: state.crl === null ? null : revocationsId(key),
      depth: settings['auth-tls-verify-depth'] ?? 1,
      subject: settings['auth-tls-match-cn'] ?? null,
      errorPage: settings['auth-tls-error-page'] ?? null,
      passesCertificate: settings['auth-tls-pass-certificate-to-upstream'] ?? false,
      clearPrefixes: [...challenges],
    },
    authorities: [key],
    closing: null,
    problems,
  };
}

/**
 * HTTP-01 (RFC 8555 §8.3), by which the host gets its certificate. Not the operator's list of paths that are not redirected to
 * https: that says nothing of who may see them.
 */
const challenges = ['/.well-known/acme-challenge/'];

const modes = { on: 'require', off: null, optional: 'optional', optional_no_ca: 'optional-no-ca' } as const;

function authoritiesFault(key: ObjectKey, state: ReturnType<SecretStates['authorities']>): string | undefined {
  switch (state.type) {
    case 'missing':
      return `the Secret ${key} does not exist`;
    case 'absent':
      return `the Secret ${key} has no ca.crt`;
    case 'malformed':
      return `the Secret ${key} ${state.fault}`;
    case 'good':
      return undefined;
  }
}

function overruled(draft: Draft, winner: Draft, hostname: string): Problem[] {
  return names.flatMap((name) => {
    const annotation = draft.annotations.keys[name];
    const mine = JSON.stringify(draft.annotations.settings[name]);
    if (annotation === undefined || mine === JSON.stringify(winner.annotations.settings[name])) return [];
    const at: Source = { ...draft.source, field: `metadata.annotations[${annotation}]` };
    const values = { annotation, subject: `host ${hostname}`, winner: winner.key, age: 'older' };
    return [problem('AnnotationOverruled', at, values)];
  });
}
