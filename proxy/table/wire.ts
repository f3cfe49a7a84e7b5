import { z } from 'zod';
import { Announced } from './announced.ts';
import { Ack, type ChangeBatch, Commit, schemaVersion } from './change.ts';
import type { Contract, KindIn, RefIn, RowIn } from './contract.ts';
import { type Problem, Source } from './problem.ts';

/**
 * The stream of a contract's rows: one JSON document per line.
 *
 *     {"snapshot":true}                      what follows is the whole table
 *     {"row":{"kind":"route","row":{…}}}     put this row
 *     {"delete":{"kind":"route","id":"…"}}   drop this row
 *     {"commit":{"generation":7,…}}          everything since the last commit applies now, at once or not at all
 *                                            an empty line: the sender is alive
 */
export const snapshotLine = '{"snapshot":true}\n';
export const heartbeatLine = '\n';

/** How often a sender writes a heartbeat, and after how much silence a reader gives the connection up, ms. */
export const heartbeatMs = 5_000;
export const silenceMs = 3 * heartbeatMs + 1_000;

/** Response header that names the stream; acknowledgements carry it back. */
export const streamHeader = 'sluice-stream';

/**
 * The name in every controller's certificate. Proxies find controllers by many names and addresses, and the
 * certificate authority signs nothing but controllers, so this one name is what they verify.
 */
export const controllerServerName = 'sluice-controller';

/** Body of POST /v1/acks: which stream of which proxy, and the answer. A repeated answer is a sign of life. */
export const AckPost = z.object({
  /** '' where the receiver does not serve this proxy and is only told. */
  stream: z.string(),
  name: z.string(),
  zone: z.string().nullable(),
  node: z.string().nullable(),
  /** `address:port` of its admin pages, `:port` at the address that it is seen to come from; absent: it has none to show. */
  admin: z.string().max(60).nullish(),
  ack: Ack,
  /** Of edges: what of what they announce is new. */
  announced: Announced.nullish(),
});
export type AckPost = z.infer<typeof AckPost>;

/** What POST /v1/acks is answered: how far the controller is, as in its last commit. Empty before the first. */
export const AckAnswer = Commit.pick({ seen: true, holds: true }).extend({
  /** For how long the reader may take what it has for current, unless it hears more, ms; 0: the sender itself sees nothing. */
  leaseMs: z.int().min(0).default(0),
  /** Whether the controller knows what this edge announces. Where not, it wants to hear all of it. */
  knowsAnnounced: z.boolean().default(false),
});
export type AckAnswer = z.infer<typeof AckAnswer>;

/** `canonicalRow` is the row's JSON; it was made for the hash and is not made again. */
export function rowLine(kind: string, canonicalRow: string): string {
  return `{"row":{"kind":"${kind}","row":${canonicalRow}}}\n`;
}

export function deleteLine(ref: { kind: string; id: string }): string {
  return `${JSON.stringify({ delete: ref })}\n`;
}

export function commitLine(commit: Commit): string {
  return `${JSON.stringify({ commit })}\n`;
}

/** A batch as it was read. With problems it must not be applied: it is refused as a whole. */
export interface ReadBatch<M> {
  batch: ChangeBatch<M>;
  problems: readonly Problem[];
}

/** Collects lines to batches and validates every row at the door. Never throws. */
export class BatchReader<M> {
  readonly #schemas: Contract<M>['schemas'];
  #isSnapshot = false;
  #upserts: RowIn<M>[] = [];
  #deletes: RefIn<M>[] = [];
  #problems: Problem[] = [];

  constructor({ schemas }: Pick<Contract<M>, 'schemas'>) {
    this.#schemas = schemas;
  }

  /** Takes one line without its end; answers with a batch when the line was a commit. */
  push(line: string): ReadBatch<M> | null {
    if (line.trim() === '') return null;
    const parsed = Line.safeParse(parseJson(line));
    if (!parsed.success) {
      this.#fault('LineMalformed', 'line', `a line of the stream is not valid: ${firstIssue(parsed.error)}`);
      return null;
    }
    const value = parsed.data;
    if ('snapshot' in value) this.#begin();
    else if ('row' in value) this.#row(value.row.kind, value.row.row);
    else if ('delete' in value) this.#delete(value.delete);
    else return this.#commit(value.commit);
    return null;
  }

  #begin(): void {
    this.#isSnapshot = true;
    this.#upserts = [];
    this.#deletes = [];
    this.#problems = [];
  }

  #row(kind: string, row: unknown): void {
    if (!this.#isKind(kind)) {
      this.#fault('RowKindUnknown', kind, `the row kind ${kind.slice(0, 40)} is not known here`);
      return;
    }
    const parsed = this.#schemas[kind].safeParse(row);
    if (parsed.success) this.#upserts.push({ kind, row: shareNothing(parsed.data) } as RowIn<M>);
    else this.#refuse(rowProblem(kind, row, parsed.error));
  }

  #delete(ref: { kind: string; id: string }): void {
    if (this.#isKind(ref.kind)) this.#deletes.push({ kind: ref.kind, id: ref.id });
    else this.#fault('RowKindUnknown', ref.kind, `the row kind ${ref.kind.slice(0, 40)} is not known here`);
  }

  #commit(commit: Commit): ReadBatch<M> {
    const isReadable = commit.schemaVersion === schemaVersion || commit.schemaVersion === schemaVersion - 1;
    if (!isReadable) {
      const read = `${schemaVersion} and ${schemaVersion - 1}`;
      this.#fault('SchemaVersion', 'commit', `the table has schema ${commit.schemaVersion}; this reader takes ${read}`);
    }
    const batch = { isSnapshot: this.#isSnapshot, upserts: this.#upserts, deletes: this.#deletes, commit };
    const problems = this.#problems;
    this.#begin();
    this.#isSnapshot = false;
    return { batch, problems };
  }

  #isKind(kind: string): kind is KindIn<M> {
    return Object.hasOwn(this.#schemas, kind);
  }

  #fault(code: string, name: string, message: string): void {
    this.#refuse(tableProblem(code, name, message));
  }

  #refuse(problem: Problem): void {
    if (this.#problems.length < maxProblems) this.#problems.push(problem);
  }
}

const Line = z.union([
  z.object({ row: z.object({ kind: z.string(), row: z.unknown() }) }),
  z.object({ delete: z.object({ kind: z.string(), id: z.string() }) }),
  z.object({ commit: Commit }),
  z.object({ snapshot: z.literal(true) }),
]);

const maxProblems = 100;
const hint = 'Controller and proxy differ in version or the stream was damaged; run the same release on both sides.';

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Most lists of most rows are empty, and one empty list does for all of them: it is a tenth of what a table weighs. */
function shareNothing<T>(value: T): T {
  if (Array.isArray(value)) {
    for (const member of value) shareNothing(member);
  } else if (typeof value === 'object' && value !== null) {
    const members = value as Record<string, unknown>;
    for (const key in members) {
      const member = members[key];
      if (typeof member !== 'object') continue;
      if (Array.isArray(member) && member.length === 0) members[key] = nothing;
      else shareNothing(member);
    }
  }
  return value;
}

const nothing: readonly never[] = Object.freeze([]);

/** Names the row and the field, never a value: the row may be key material. */
function rowProblem(kind: string, row: unknown, error: z.ZodError): Problem {
  const fields = z.object({ id: z.string(), source: Source.nullish().catch(null) }).safeParse(row);
  const id = fields.success ? fields.data.id : '?';
  const problem = tableProblem('RowMalformed', `${kind}/${id}`, `row ${kind}/${id} is not valid: ${firstIssue(error)}`);
  return fields.success && fields.data.source ? { ...problem, source: fields.data.source } : problem;
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  return issue ? `${issue.path.join('.') || 'value'}: ${issue.code}` : 'unknown';
}

function tableProblem(code: string, name: string, message: string): Problem {
  return { code, severity: 'error', source: { kind: 'Table', namespace: '', name }, message, hint };
}
