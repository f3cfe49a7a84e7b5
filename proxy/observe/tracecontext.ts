import { randomFillSync } from 'node:crypto';
import type { Tracing } from '#table/tracing.ts';
import { copyOf } from '../parse/latin1.ts';

/** Place of a request in a trace (W3C Trace Context). Made for requests of listeners that trace, and of no others. */
export interface TraceContext {
  readonly tracing: Tracing;
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  /** Of the client's span; '' where the trace begins here. */
  readonly parentId: string;
  readonly isSampled: boolean;
}

/** In place of what the listener says. */
export interface RouteTracing {
  readonly isOn: boolean | null;
  readonly continues: boolean | null;
}

/**
 * @param traceparent as the client sent it; undefined: not at all
 * @param isTrusted the peer is a proxy of ours, whose word counts
 * @returns null where the request is not traced
 */
export function traceContextOf(
  tracing: Tracing,
  route: RouteTracing | null,
  traceparent: string | undefined,
  isTrusted: boolean,
): TraceContext | null {
  if (!(route?.isOn ?? tracing.isOn)) return null;
  const parent = (route?.continues ?? tracing.continues) ? parentOf(traceparent) : null;
  const traceId = parent === null ? randomHex(16) : parent.traceId;
  const isParentsWord = parent !== null && (isTrusted || tracing.sampledBy === 'everybody');
  return {
    tracing,
    traceId,
    spanId: randomHex(8),
    parentId: parent === null ? '' : parent.spanId,
    isSampled: isParentsWord ? parent.isSampled : isDrawn(traceId, tracing.ratio),
  };
}

/** The field that the backend gets. */
export function traceparentOf({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** A later version is read as this one, as far as it goes; what is malformed counts as absent. */
function parentOf(traceparent: string | undefined): { traceId: string; spanId: string; isSampled: boolean } | null {
  const [, version = 'ff', traceId = '', spanId = '', flags = '', rest] = pattern.exec(traceparent ?? '') ?? [];
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  // Spans wait for a collector, and would keep the heads that their ids were cut out of.
  return { traceId: copyOf(traceId), spanId: copyOf(spanId), isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** By the trace's id alone, so that every gateway on the way of a trace draws alike. */
function isDrawn(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(20), 16) < ratio * 2 ** 48;
}

const pool = Buffer.alloc(4_096);
let used = pool.length;

/** A call for random bytes costs a microsecond, however few they are. */
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}
