import { Backend, Endpoints } from './backend.ts';
import {
  type Contract,
  emptyTableOf,
  type KindsOf,
  kindsOf,
  type RefIn,
  type RowIn,
  type TableOf,
} from './contract.ts';
import { L4Route } from './l4route.ts';
import { Host, Listener } from './listener.ts';
import { Route } from './route.ts';
import { Certificate, Secret } from './secret.ts';

/**
 * Every kind of row, by the name it has on the wire. Order is the order of reading: a row may point only at ids of
 * rows of any kind in the same table; pointers are checked at commit (check.ts), never row by row.
 */
export const rowSchemas = {
  listener: Listener,
  host: Host,
  route: Route,
  l4route: L4Route,
  backend: Backend,
  endpoints: Endpoints,
  certificate: Certificate,
  secret: Secret,
} as const;

/** The type of the rows of each kind. */
export type Rows = KindsOf<typeof rowSchemas>;
export type RowKind = keyof Rows;
export type RowOf<K extends RowKind> = Rows[K];
export type Row = RowIn<Rows>;
export type RowRef = RefIn<Rows>;

/** A whole table: flat maps of rows keyed by id. Rows are immutable; a changed row is a new object. */
export type Table = TableOf<Rows>;

/** What a proxy is told. */
export const tableContract: Contract<Rows> = {
  schemas: rowSchemas,
  pointers: {
    listener: { certificate: ({ tls }) => (tls?.defaultCertificateId == null ? [] : [tls.defaultCertificateId]) },
    host: {
      listener: ({ listenerIds }) => listenerIds,
      certificate: ({ certificateIds }) => certificateIds,
      secret: ({ clientAuth }) => [clientAuth?.caSecretId, clientAuth?.crlSecretId].filter((id) => id != null),
    },
    route: { host: ({ hostIds }) => hostIds, backend: ({ backends }) => backends.map(({ backendId }) => backendId) },
    l4route: {
      listener: ({ listenerIds }) => listenerIds,
      backend: ({ backends }) => backends.map(({ backendId }) => backendId),
    },
    backend: {
      secret: ({ tls }) => (tls?.verify?.caSecretId == null ? [] : [tls.verify.caSecretId]),
      certificate: ({ tls }) => (tls?.certificateId == null ? [] : [tls.certificateId]),
    },
    endpoints: { backend: ({ backendIds }) => backendIds },
  },
  sealed: {
    certificate: ({ id, source, names, notAfterMs, fingerprint }) => {
      return { id, source, names, notAfter: dateOf(notAfterMs), fingerprint };
    },
    secret: ({ id }) => ({ id }),
  },
  streamPath: '/v1/tables',
  acksPath: '/v1/acks',
};

export const rowKinds = kindsOf(rowSchemas);

export function emptyTable(): Table {
  return emptyTableOf(tableContract);
}

function dateOf(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
