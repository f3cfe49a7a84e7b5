import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { reasonOf } from '#kit/reason.ts';

/**
 * Whether a token may read rows (which hold private keys), and whose it is. `node`: the only one that it speaks for; null
 * if it does not say. `reason` is for the log, not the caller.
 */
export type Verdict = { ok: true; who: string; node: string | null } | { ok: false; reason: string };
export type Authorize = (token: string) => Promise<Verdict>;

/** Everybody who knows the content of a file. The file is read each time, so the secret can be changed at any time. */
export function sharedSecret(file: string): Authorize {
  return async (token) => {
    let expected: string;
    try {
      expected = (await readFile(file, 'utf8')).trim();
    } catch {
      return { ok: false, reason: `the token file ${file} cannot be read` };
    }
    if (expected === '') return { ok: false, reason: `the token file ${file} is empty` };
    // Digests have one length, which timingSafeEqual wants, and tell nothing about the token's.
    const isEqual = timingSafeEqual(digest(token), digest(expected));
    return isEqual
      ? { ok: true, who: 'shared secret', node: null }
      : { ok: false, reason: 'the token is not the shared secret' };
  };
}

/**
 * Tokens of these service accounts, as the API server confirms them. Any pod can ask for a token of any audience, so
 * the audience alone proves nothing: the account must be one that was named.
 *
 * @param review Asks the API server (TokenReview): `who` is the user name. Rejects when the server cannot be asked.
 * @param accounts `<namespace>/<name>` of service accounts.
 */
export function serviceAccounts(
  review: Authorize,
  accounts: readonly string[],
  nowMs: () => number = () => performance.now(),
): Authorize {
  const users = new Set(accounts.map((account) => `system:serviceaccount:${account.replace('/', ':')}`));
  // Apart: strangers, who can show as many tokens as they like, make nobody forgotten.
  const accepted = new LRUCache<string, Kept>({ max: mostAccepted });
  const refused = new LRUCache<string, Kept>({ max: 1_000 });
  return async (token) => {
    const key = digest(token).toString('base64');
    const kept = accepted.get(key) ?? refused.get(key);
    const ageMs = kept ? nowMs() - kept.atMs : 0;
    if (kept && ageMs < (kept.verdict.ok ? acceptedMs : refusedMs)) return kept.verdict;
    try {
      const reviewed = await review(token);
      const isStranger = reviewed.ok && !users.has(reviewed.who);
      const reason = isStranger ? `${reviewed.who} is not one of the service accounts that may read this` : '';
      const verdict: Verdict = isStranger ? { ok: false, reason } : reviewed;
      if (!verdict.ok) accepted.delete(key);
      (verdict.ok ? accepted : refused).set(key, { verdict, atMs: nowMs() });
      return verdict;
    } catch (error) {
      // Proxies must not lose their stream because the API server is away for a while.
      if (kept?.verdict.ok && ageMs < acceptedUnaskedMs) return kept.verdict;
      return { ok: false, reason: `the token cannot be reviewed: ${reasonOf(error)}` };
    }
  };
}

interface Kept {
  verdict: Verdict;
  atMs: number;
}

/** The first of several ways that accepts. */
export function anyOf(ways: readonly Authorize[]): Authorize {
  return async (token) => {
    const reasons: string[] = [];
    for (const authorize of ways) {
      const verdict = await authorize(token);
      if (verdict.ok) return verdict;
      reasons.push(verdict.reason);
    }
    return { ok: false, reason: reasons.join('; ') || 'no way to authenticate is configured' };
  };
}

/** Two for each of five thousand nodes: tokens are replaced hourly. */
const mostAccepted = 10_000;
/** A revoked token works at most this long; each proxy acknowledges often, and each would be a review. */
const acceptedMs = 60_000;
const refusedMs = 2_000;
/** The same while the API server does not answer; tokens themselves live an hour. */
const acceptedUnaskedMs = 3_600_000;

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
