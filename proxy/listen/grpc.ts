import type { Exchange } from '../forward/exchange.ts';
import type { ResponseFlag } from '../observe/record.ts';

/** Whether the request is gRPC. */
export function isGrpc(exchange: Exchange): boolean {
  return isGrpcType(exchange.header('content-type') ?? '');
}

/** gRPC-Web is another: its clients read HTTP statuses, and its trailers are part of the body. */
export function isGrpcType(type: string): boolean {
  if (!type.toLowerCase().startsWith('application/grpc')) return false;
  const after = type.charCodeAt(16);
  return Number.isNaN(after) || after === 0x2b || after === 0x3b || after === 0x20;
}

/**
 * Field lines that say in gRPC's way that a call came to nothing (gRPC over HTTP2, "Responses"): of an answer without a body, or
 * behind what has come of one.
 * @param status what an HTTP client would be answered
 */
export function grpcLines(status: number, flag: ResponseFlag, sentence: string): string {
  const isOurTimeout = status === 504 && flag !== 'UCT';
  const code = isOurTimeout ? deadlineExceeded : (codes[status] ?? unknown);
  return `grpc-status: ${code}\r\ngrpc-message: ${encodeMessage(sentence)}\r\n`;
}

const unknown = 2;
const deadlineExceeded = 4;
const unavailable = 14;

/** From gRPC's own map of HTTP statuses; sizes are RESOURCE_EXHAUSTED, for that is what they are. */
const codes: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  408: deadlineExceeded,
  413: 8,
  414: 8,
  429: unavailable,
  431: 8,
  502: unavailable,
  503: unavailable,
  504: unavailable,
};

/** Percent-encoding of all but printable ASCII, and of the percent sign. Half a surrogate pair, as a manifest may hold, throws. */
function encodeMessage(text: string): string {
  return text.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent);
}

/**
 * Value of grpc-timeout: up to eight digits and a unit.
 * @returns ms; -1 for what is not one, which is then no deadline
 */
export function grpcTimeoutMs(value: string): number {
  const parts = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (parts === null) return -1;
  const unitMs = unitsMs[parts[2] as string] as number;
  return Math.max(1, Number(parts[1]) * unitMs);
}

const unitsMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
