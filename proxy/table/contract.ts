import type { z } from 'zod';

/** The type of the rows of each kind. An id is a row's own among the rows of its kind. */
export interface AnyKinds {
  [kind: string]: { id: string };
}

export type KindIn<M> = keyof M & string;
export type RowIn<M> = { [K in KindIn<M>]: { kind: K; row: M[K] } }[KindIn<M>];
export interface RefIn<M> {
  kind: KindIn<M>;
  id: string;
}

/** All rows: flat maps keyed by id. Rows are immutable; a changed row is a new object. */
export type TableOf<M> = { [K in keyof M]: Map<string, M[K]> };

/** What schemas describe. */
export type KindsOf<S extends { readonly [kind: string]: z.ZodType<{ id: string }> }> = {
  [K in keyof S]: z.infer<S[K]>;
};

/**
 * What a controller and those who follow it agree on: the rows that there are, and where they are fetched. Streams, hashes,
 * checks and the copy on disk are the same code for every contract.
 */
export interface Contract<M> {
  readonly schemas: { readonly [K in keyof M]: z.ZodType<M[K]> };
  /** Per kind, and per kind that its rows point at: the ids that a row points at. */
  readonly pointers: { readonly [K in keyof M]?: { readonly [T in keyof M]?: (row: M[K]) => readonly string[] } };
  /** Kinds that hold key material, which are encrypted on disk; and what of such a row may be shown. */
  readonly sealed: { readonly [K in keyof M]?: (row: M[K]) => object };
  /** Paths on the controller: the stream of rows, and the answers to it. */
  readonly streamPath: string;
  readonly acksPath: string;
}

/** The kinds of a contract, or of a table of it, in order. */
export function kindsOf<M>(byKind: { readonly [K in keyof M]: unknown }): readonly KindIn<M>[] {
  return Object.keys(byKind) as KindIn<M>[];
}

export function emptyTableOf<M>({ schemas }: Pick<Contract<M>, 'schemas'>): TableOf<M> {
  return Object.fromEntries(kindsOf(schemas).map((kind) => [kind, new Map()])) as TableOf<M>;
}
