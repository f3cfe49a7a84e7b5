import type { ChangeBatch, Commit } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import type { HealthCheck } from '#table/resilience.ts';
import { type Row, type RowKind, type RowOf, rowSchemas } from '#table/rows.ts';
import type { ServerTls } from '#table/servertls.ts';
import type { UpstreamTls } from '#table/upstreamtls.ts';
import type { CertificatePair } from './certificate.ts';

const source = { kind: 'Test', namespace: 'test', name: 'test' };

/** A row of which a test cares about some fields only; the contract's own schema checks the rest. */
export function row<K extends RowKind>(kind: K, fields: { id: string } & Partial<RowOf<K>>): Row {
  return { kind, row: rowSchemas[kind].parse({ ...plainRows[kind], ...fields }) } as Row;
}

export function certificateRow(id: string, names: string[], pair: CertificatePair): Row {
  return row('certificate', { id, names, chainPem: pair.cert, keyPem: pair.key });
}

/** A path under which everything goes to one backend, on the listener `http`, for every host. */
export function plainTable(endpoints: readonly { address: string; port: number }[]): Row[] {
  return [
    row('listener', { id: 'http' }),
    row('host', { id: 'h' }),
    row('route', { id: 'r' }),
    row('backend', { id: 'b' }),
    endpointsRow(endpoints),
    row('secret', { id: 'fleet/affinity', value: Buffer.alloc(32, 7).toString('base64') }),
  ];
}

/** A listener on which everything goes to one backend, unread. */
export function l4Table(
  protocol: 'tcp' | 'udp',
  endpoints: readonly { address: string; port: number }[],
  route: Partial<RowOf<'l4route'>> = {},
): Row[] {
  return [
    row('listener', { id: protocol, protocol }),
    row('l4route', { id: 'r', listenerIds: [protocol], ...route }),
    row('backend', { id: 'b', protocol }),
    endpointsRow(endpoints),
  ];
}

export function endpointsRow(endpoints: readonly { address: string; port: number; uid?: string }[]): Row {
  return row('endpoints', {
    id: 'e',
    endpoints: endpoints.map((each) => ({ ...plainEndpoint, uid: `${each.port}`, ...each })),
  });
}

/** A snapshot as a sender makes it. */
export function snapshot(rows: readonly Row[], commit: Partial<Commit> = {}): ChangeBatch {
  const hash = new TableHash();
  for (const each of rows) hash.add(rowHash(each.kind, canonicalJson(each.row)));
  return {
    isSnapshot: true,
    upserts: rows,
    deletes: [],
    commit: { schemaVersion: 1, generation: 1, hash: hash.text(), seen: {}, holds: {}, ...commit },
  };
}

/** What an endpoint is beside its address. */
export const plainEndpoint = {
  zone: null,
  node: null,
  forZones: [],
  ready: true,
  serving: true,
  terminating: false,
  weight: 1,
};

/** TLS with clients as it is when nobody says otherwise. */
export const plainServerTls: Omit<ServerTls, 'defaultCertificateId'> = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: null,
  groups: null,
  sessionSeconds: 600,
};

/** TLS to a backend of which nothing is asked. */
export const plainTls: UpstreamTls = {
  serverName: null,
  verify: null,
  certificateId: null,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: null,
};

/** Five gateway errors in a row eject, and nothing else does. */
export const plainOutlier = {
  consecutiveServerErrors: 0,
  consecutiveGatewayErrors: 5,
  consecutiveLocalFailures: 0,
  successRate: null,
  baseEjectionMs: 1_000,
  maxEjectionMs: 10_000,
  maxEjectedPercent: 50,
};

/** GET / every second, and one answer decides. */
export const plainHealthCheck: HealthCheck = {
  probe: { type: 'http', method: 'GET', path: '/', host: null, expectedStatuses: [[200, 399]] },
  intervalMs: 1000,
  timeoutMs: 2000,
  unhealthyAfter: 1,
  healthyAfter: 1,
};

const plainRows: { readonly [K in RowKind]: object } = {
  listener: {
    source: null,
    protocol: 'http',
    port: 0,
    addresses: ['127.0.0.1'],
    publicPort: null,
    tls: null,
    proxyProtocol: null,
    trustedProxies: [],
    hsts: null,
    http2: true,
    clients: { idleMs: null, headMs: null, bodyIdleMs: null, requests: null, streams: null },
    compression: null,
    tracing: null,
  },
  host: {
    source: null,
    listenerIds: ['http'],
    hostname: '*',
    wildcard: 'one',
    certificateIds: [],
    ciphers: null,
    clientAuth: null,
    canFallThrough: false,
  },
  route: {
    source,
    hostIds: ['h'],
    match: { path: { type: 'element', value: '/' }, methods: null, headers: [], query: [] },
    precedence: { priority: 0, order: '' },
    filters: [],
    backends: [{ backendId: 'b', weight: 1, filters: [] }],
    timeouts: { connectMs: 5_000, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 60_000 },
    retry: { attempts: 3, on: ['connect', 'reset'], canRepeatUnsafe: false, withinMs: 0 },
    bodyLimit: null,
  },
  l4route: {
    source,
    listenerIds: ['tcp'],
    hostnames: [],
    wildcard: 'one',
    order: '',
    backends: [{ backendId: 'b', weight: 1 }],
    timeouts: { connectMs: 5_000, idleMs: 60_000 },
    retry: { attempts: 3, withinMs: 0 },
    sendProxyProtocol: null,
    responses: null,
  },
  backend: {
    source,
    service: { namespace: 'test', name: 'test', port: '80' },
    broken: null,
    protocol: 'http',
    tls: null,
    balance: { algorithm: 'round-robin' },
    affinity: null,
    slowStartMs: 0,
    outlier: plainOutlier,
    healthCheck: null,
    panicPercent: 0,
    circuit: { connections: 0, pending: 0, requests: 0, retries: 0 },
    keepAlive: { connections: null, requests: null, idleMs: null, lifetimeMs: null },
    prefer: 'any',
  },
  endpoints: { source, backendIds: ['b'], endpoints: [], dns: null },
  certificate: { source, names: [], notAfterMs: 4_102_444_800_000, fingerprint: 'AA' },
  secret: {},
};
