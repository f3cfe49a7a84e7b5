import type { z } from 'zod';
import { Backend, Endpoints } from './backend.ts';
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
  backend: Backend,
  endpoints: Endpoints,
  certificate: Certificate,
  secret: Secret,
} as const;

export type RowKind = keyof typeof rowSchemas;
export const rowKinds = Object.keys(rowSchemas) as readonly RowKind[];

export type RowOf<K extends RowKind> = z.infer<(typeof rowSchemas)[K]>;
export type Row = { [K in RowKind]: { kind: K; row: RowOf<K> } }[RowKind];
export interface RowRef {
  kind: RowKind;
  id: string;
}

/** A whole table: flat maps of rows keyed by id. Rows are immutable; a changed row is a new object. */
export type Table = { [K in RowKind]: Map<string, RowOf<K>> };

export function emptyTable(): Table {
  return {
    listener: new Map(),
    host: new Map(),
    route: new Map(),
    backend: new Map(),
    endpoints: new Map(),
    certificate: new Map(),
    secret: new Map(),
  };
}
