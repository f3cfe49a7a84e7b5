import assert from 'node:assert/strict';
import { Selector, type SelectorOptions } from '../../proxy/select/selector.ts';
import type { BackendState, EndpointState, Pick, PickFacts } from '../../proxy/select/types.ts';
import { LocalAffinity } from '../../proxy/share/affinity.ts';
import type { Backend, Endpoint, Endpoints } from '../../proxy/table/backend.ts';
import { plainEndpoint, plainOutlier, row } from '../kit/rows.ts';

const source = { kind: 'Service', namespace: 'ns', name: 'web' };

export const fleetKey = new Uint8Array(32).fill(7);

/** mulberry32: small, and the same on every machine. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function backendRow(fields: Partial<Backend> = {}): Backend {
  const plain = {
    balance: { algorithm: 'least-request' },
    outlier: { ...plainOutlier, baseEjectionMs: 10_000, maxEjectionMs: 60_000 },
  } as const;
  return row('backend', { id: 'web', ...plain, ...fields }).row as Backend;
}

/** Endpoint `nth`: 10.0.0.nth:80, pod `pod-nth`. */
export function endpointRow(nth: number, fields: Partial<Endpoint> = {}): Endpoint {
  return {
    ...plainEndpoint,
    address: `10.0.${nth >> 8}.${nth & 255}`,
    port: 80,
    uid: `pod-${nth}`,
    ...fields,
  };
}

export function endpointRows(count: number, fields: (nth: number) => Partial<Endpoint> = () => ({})): Endpoint[] {
  return Array.from({ length: count }, (_, nth) => endpointRow(nth, fields(nth)));
}

export function endpointsRow(endpoints: Endpoint[], backendIds = ['web']): Endpoints {
  return { id: 'web', source, backendIds, endpoints, dns: null };
}

export interface Opened {
  selector: Selector;
  backend: BackendState;
  /** Replaces the endpoints; returns what went. */
  setEndpoints(endpoints: Endpoint[], nowMs?: number): readonly string[];
  setBackend(fields: Partial<Backend>): void;
}

/** A selector with one backend, `web`. */
export function openBackend(
  fields: Partial<Backend>,
  endpoints: Endpoint[],
  options: Partial<SelectorOptions> & { seed?: number; nowMs?: number; affinityKey?: Uint8Array | null } = {},
): Opened {
  const { seed = 1, nowMs = 0, affinityKey = fleetKey, ...rest } = options;
  const random = seeded(seed);
  const selector = new Selector({
    zone: null,
    node: null,
    random,
    memory: new LocalAffinity(),
    wallOriginMs: () => 0,
    onEject: () => {},
    ...rest,
  });
  selector.apply(
    {
      backends: new Map([['web', backendRow(fields)]]),
      endpoints: new Map([['web', endpointsRow(endpoints)]]),
      affinityKey,
    },
    nowMs,
  );
  return {
    selector,
    get backend() {
      return selector.backend('web') as BackendState;
    },
    setEndpoints: (rows, atMs = nowMs) =>
      selector.apply(
        { backends: new Map(), endpoints: new Map([['web', endpointsRow(rows)]]), affinityKey: null },
        atMs,
      ).goneKeys,
    setBackend: (changed) =>
      void selector.apply(
        { backends: new Map([['web', backendRow(changed)]]), endpoints: new Map(), affinityKey: null },
        nowMs,
      ),
  };
}

/** A request; header names in lower case. */
export function factsOf(fields: Partial<PickFacts> & { headers?: Record<string, string> } = {}): PickFacts {
  const { headers = {}, ...rest } = fields;
  return {
    clientAddress: '192.0.2.1',
    hostname: 'example.com',
    target: '/',
    path: '/',
    query: '',
    isTls: false,
    routePath: '/',
    header: (name) => headers[name],
    ...rest,
  };
}

export function uidOf(pick: Pick | null): string | undefined {
  return pick?.endpoint.endpoint.uid;
}

/** A pick that must succeed. */
export function picked(backend: BackendState, tried: readonly EndpointState[] = [], facts = factsOf()): Pick {
  const pick = backend.pick(facts, tried, 0);
  assert.ok(pick !== null, 'no endpoint');
  return pick;
}

/** Picks that end at once, counted by pod. */
export function countPicks(
  backend: BackendState,
  count: number,
  facts: (nth: number) => PickFacts = () => factsOf(),
  nowMs = 0,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let nth = 0; nth < count; nth++) {
    const uid = uidOf(backend.pick(facts(nth), [], nowMs)) ?? 'none';
    counts.set(uid, (counts.get(uid) ?? 0) + 1);
  }
  return counts;
}

/** A browser: keeps the cookies that it is given. */
export function openClient(backend: () => BackendState, facts: Partial<PickFacts> = {}) {
  const headers: Record<string, string> = {};
  const client = {
    headers,
    lastCookie: null as string | null,
    request(tried: readonly EndpointState[] = [], nowMs = 0): string | undefined {
      const pick = backend().pick(factsOf({ ...facts, headers }), tried, nowMs);
      client.lastCookie = pick?.setCookie ?? null;
      if (pick?.setCookie != null) headers['cookie'] = `theme=dark; ${pick.setCookie.split(';')[0]}; lang=en`;
      return uidOf(pick);
    },
  };
  return client;
}

export const cookieAffinity = {
  type: 'cookie',
  name: 'INGRESSCOOKIE',
  mode: 'persistent',
  path: null,
  domain: null,
  maxAgeSeconds: null,
  expiresSeconds: null,
  sameSite: null,
  secure: null,
  conditionalSameSiteNone: false,
  changeOnFailure: false,
} as const satisfies Backend['affinity'];
