import type { Verdict } from '../publish/auth.ts';
import type { Cluster } from './api.ts';
import { propertyOf } from './read.ts';

/**
 * Asks the API server whose token this is (authentication.k8s.io/v1 TokenReview). A token that is not made for this
 * audience is refused, also where the server knows nothing of audiences and leaves them out of its answer. Throws when
 * the server cannot be asked: that is no verdict on the token.
 *
 * @returns as `who` the user name, `system:serviceaccount:NAMESPACE:NAME` for a service account; as `node` that of the
 * pod that the token was made for, if the token is bound to one and the server is new enough to say so (1.30)
 */
export async function reviewToken(cluster: Cluster, token: string, audience: string): Promise<Verdict> {
  const answer = await cluster.call({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [audience] } },
    timeoutMs: 10_000,
  });
  if (answer.status !== 200 && answer.status !== 201) {
    throw new Error(
      `TokenReview answered ${answer.status}: ${propertyOf(answer.body, 'message') ?? 'no reason given'}`,
    );
  }
  const status = propertyOf(answer.body, 'status');
  const audiences = stringsOf(propertyOf(status, 'audiences'));
  if (propertyOf(status, 'authenticated') !== true) {
    return {
      ok: false,
      reason: String(propertyOf(status, 'error') ?? 'the API server does not know the token'),
    };
  }
  if (!audiences.includes(audience)) return { ok: false, reason: `the token is not for ${audience}` };
  const user = propertyOf(status, 'user');
  const [node] = stringsOf(propertyOf(propertyOf(user, 'extra'), nodeOfToken));
  return { ok: true, who: String(propertyOf(user, 'username') ?? ''), node: node ?? null };
}

/** KEP-4193. */
const nodeOfToken = 'authentication.kubernetes.io/node-name';

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
