import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import type { Verdict } from '../publish/auth.ts';
import type { Cluster } from './api.ts';
import { propertyOf } from './read.ts';

/**
 * Whose a service account's token is, by the keys that the API server publishes (`/openid/v1/jwks`), which every service account
 * may read unless somebody has changed that. For controllers of some namespaces alone: a review of tokens needs a right that
 * only a ClusterRole can give. What it cannot see is that a token was revoked, as by the end of its pod: it is good until it
 * runs out.
 */
export class TokenKeys {
  readonly #cluster: Cluster;
  #keysById = new Map<string, KeyObject>();
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** Under way, for all who wait for it: also while the API server does not answer, it is asked once at a time. */
  #reading: Promise<void> | null = null;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /**
   * @param nowMs since the epoch, as tokens count
   * @returns as reviewToken
   * @throws when the keys cannot be read: that is no verdict on the token
   */
  async verify(token: string, audience: string, nowMs: number): Promise<Verdict> {
    const [head = '', body = '', signature = '', ...rest] = token.split('.');
    const header = Header.safeParse(decoded(head));
    const claims = Claims.safeParse(decoded(body));
    if (rest.length > 0 || !header.success || !claims.success) return no('it is no token of a service account');
    const { alg, kid } = header.data;
    const key = await this.#key(kid);
    if (key === undefined) return no('the API server does not publish the key that has signed the token');
    const [hash, keyType] = algorithms[alg];
    const signed = Buffer.from(`${head}.${body}`);
    const isGood =
      // The key says what it is for; a token must not choose.
      key.asymmetricKeyType === keyType &&
      verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
    if (!isGood) return no('the signature of the token is wrong');
    const { aud, exp, sub } = claims.data;
    if (exp * 1_000 <= nowMs) return no('the token has run out');
    if (!aud.includes(audience)) return no(`the token is not for ${audience}`);
    return { ok: true, who: sub, node: claims.data['kubernetes.io']?.node?.name ?? null };
  }

  /** Keys are replaced now and then; strangers who name one that is not there must not make us ask each time. */
  async #key(id: string): Promise<KeyObject | undefined> {
    if (!this.#keysById.has(id) && performance.now() - this.#readAtMs > readEveryMs) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = null;
      });
      await this.#reading;
    }
    return this.#keysById.get(id);
  }

  async #read(): Promise<void> {
    const answer = await this.#cluster.call({
      path: '/openid/v1/jwks',
      accept: 'application/jwk-set+json',
      timeoutMs: 10_000,
    });
    if (answer.status !== 200) {
      throw new Error(
        `the keys of the API server cannot be read, which the role system:service-account-issuer-discovery allows: ${answer.status}`,
      );
    }
    const keys = propertyOf(answer.body, 'keys');
    if (!Array.isArray(keys)) throw new Error('the API server answers with no list of keys');
    this.#readAtMs = performance.now();
    this.#keysById = new Map(keys.flatMap(keyOf));
  }
}

const readEveryMs = 10_000;

/** Those that an API server can sign with (RFC 7518 §3.1). */
const algorithms = {
  RS256: ['sha256', 'rsa'],
  ES256: ['sha256', 'ec'],
  ES384: ['sha384', 'ec'],
  ES512: ['sha512', 'ec'],
} as const;

const Header = z.object({ alg: z.enum(['RS256', 'ES256', 'ES384', 'ES512']), kid: z.string() });
const Key = z.looseObject({ kid: z.string(), kty: z.string() });
/** Tokens of old, without an end or an audience, are not taken. */
const Claims = z.object({
  aud: z.array(z.string()),
  exp: z.number(),
  sub: z.string().startsWith('system:serviceaccount:'),
  'kubernetes.io': z.object({ node: z.object({ name: z.string() }).optional() }).optional(),
});

/** None for a key of a kind that we do not know: it is no reason to take no token at all. */
function keyOf(raw: unknown): [id: string, key: KeyObject][] {
  const parsed = Key.safeParse(raw);
  if (!parsed.success) return [];
  try {
    return [[parsed.data.kid, createPublicKey({ key: parsed.data, format: 'jwk' })]];
  } catch {
    return [];
  }
}

function no(reason: string): Verdict {
  return { ok: false, reason };
}

function decoded(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}
