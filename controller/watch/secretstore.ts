import type { Store } from '../publish/store.ts';
import type { Cluster } from './api.ts';
import { propertyOf } from './read.ts';

/** Kept as Secrets in one namespace. Both calls throw, without any value in the message, when the server refuses. */
export function secretStore(cluster: Cluster, namespace: string): Store {
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
  const load = async (name: string) => {
    const { status, body } = await cluster.call({ path: `${collection}/${encodeURIComponent(name)}` });
    if (status === 404) return null;
    if (status !== 200) throw refusal('read', name, status, body);
    return decoded(propertyOf(body, 'data'));
  };
  return {
    load,
    async create(name, data) {
      const secret = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace },
        type: 'Opaque',
        data: encoded(data),
      };
      const { status, body } = await cluster.call({ method: 'POST', path: collection, body: secret });
      if (status === 201) return data;
      const existing = status === 409 ? await load(name) : null;
      if (!existing) throw refusal('created', name, status, body);
      return existing;
    },
  };
}

function encoded(data: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, Buffer.from(value).toString('base64')]));
}

function decoded(data: unknown): Record<string, string> {
  const values = Object.entries(typeof data === 'object' && data !== null ? data : {});
  return Object.fromEntries(
    values.map(([name, value]) => [name, Buffer.from(String(value), 'base64').toString('utf8')]),
  );
}

function refusal(what: string, name: string, status: number, body: unknown): Error {
  return new Error(`Secret ${name} cannot be ${what}: ${status} ${propertyOf(body, 'reason') ?? ''}`.trim());
}
