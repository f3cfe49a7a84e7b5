import type { RequestFacts } from '../match/facts.ts';
import type { ResponseFlag } from '../observe/record.ts';
import type { RouteTracing } from '../observe/tracecontext.ts';
import type { CompiledCompression } from './compression.ts';

/** An answer that the gateway gives itself. */
export interface LocalAnswer {
  status: number;
  /** Complete field lines `name: value`, without Content-Length, Date and Connection. */
  headers: readonly string[];
  body: string;
}

/** A request that is not let through. Its client is told by a page of the gateway. */
export interface Denial {
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly sentence: string;
}

/** Edits ready for the serialiser. `remove` (lower case) holds the names that are set, too; `lines` come after what is left. */
export interface CompiledEdits {
  readonly remove: ReadonlySet<string>;
  /** `name: value\r\n` for each field set or added; ASCII, validated. */
  readonly lines: string;
}

/** A route's (or weighted backend's) filters, compiled once per table. null everywhere: free at run time. */
export interface CompiledFilters {
  /** Answers without a backend, or null to go on. */
  readonly answer: ((request: RequestFacts, bound: { httpsPort: number }) => LocalAnswer | Denial | null) | null;
  /** Who may not come, whatever else `answer` would say first. */
  readonly denial: ((request: RequestFacts) => Denial | null) | null;
  /** Path (no query) that the backend sees. */
  readonly path: ((request: RequestFacts) => string) | null;
  /** Host that the backend sees. */
  readonly host: string | null;
  readonly requestHeaders: CompiledEdits | null;
  readonly responseHeaders: CompiledEdits | null;
  /** In place of the listener's. */
  readonly compression: CompiledCompression | null;
  /** In place of what the listener says. */
  readonly tracing: RouteTracing | null;
}
