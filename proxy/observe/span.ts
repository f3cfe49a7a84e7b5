import type { ExchangeRecord, ResponseFlag } from './record.ts';
import type { TraceContext } from './tracecontext.ts';

/** A span as OTLP over HTTP has it in JSON (opentelemetry-proto, trace.proto). */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number };
}

type Attribute = { key: string; value: { stringValue: string } | { intValue: string } };

const server = 2;
const failed = 2;

/** Names by the semantic conventions for HTTP server spans; what is ours alone begins with `sluice.`. */
export function spanOf(record: ExchangeRecord, { traceId, spanId, parentId }: TraceContext): Span {
  const { status, flag, tries, upstreamHost, backendId } = record;
  const isKnown = knownMethods.has(record.method);
  const method = isKnown ? record.method : '_OTHER';
  const name = isKnown ? method : 'HTTP';
  const host = hostOf(record.authority);
  const route = record.routeId === '' ? '' : record.routePath;
  const isFailure = status >= 500 || status === 0 || (status < 300 && failedFlags.has(flag));
  return {
    traceId,
    spanId,
    ...(parentId === '' ? {} : { parentSpanId: parentId }),
    name: route === '' ? name : `${name} ${route}`,
    kind: server,
    startTimeUnixNano: nanos(record.startMs),
    endTimeUnixNano: nanos(record.startMs + record.durationMs),
    attributes: [
      text('http.request.method', method),
      ...(isKnown ? [] : [told('http.request.method_original', record.method)]),
      text('url.scheme', record.scheme),
      told('url.path', pathOf(record.target)),
      ...(host === '' ? [] : [told('server.address', host)]),
      text('network.protocol.name', 'http'),
      text('network.protocol.version', versionOf(record.protocol)),
      ...(status === 0 ? [] : [int('http.response.status_code', status)]),
      ...(isFailure ? [text('error.type', flag === '-' ? String(status) : flag)] : []),
      ...(route === '' ? [] : [text('http.route', route)]),
      told('client.address', record.clientAddress),
      ...(record.userAgent === '' ? [] : [told('user_agent.original', record.userAgent)]),
      ...(record.routeId === '' ? [] : [text('sluice.route', record.routeId)]),
      ...(backendId === '' ? [] : [text('sluice.backend', backendId)]),
      ...(upstreamHost === '' ? [] : [text('sluice.upstream.address', upstreamHost)]),
      int('sluice.upstream.tries', tries),
      ...(flag === '-' ? [] : [text('sluice.response_flag', flag)]),
      told('sluice.request_id', record.requestId),
    ],
    status: isFailure ? { code: failed } : {},
  };
}

/**
 * With these an answer of 200 was cut off, or was gRPC's way of saying what would be 5xx. A client that went is no failure of ours,
 * and where it went before it had an answer, the status says so.
 */
const failedFlags: ReadonlySet<ResponseFlag> = new Set([
  ...(['NE', 'UO', 'BR', 'UF', 'UV', 'UC', 'UPE', 'UCT', 'UST', 'UT', 'UTT', 'DT', 'GE', 'OM'] as const),
]);

/** Of the conventions; others are `_OTHER`, so that no client makes names without end. */
const knownMethods: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY'],
]);

/** A query may hold what is not for everybody. */
function pathOf(target: string): string {
  const question = target.indexOf('?');
  return (question === -1 ? target : target.slice(0, question)).slice(0, longest);
}

function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
}

function versionOf(protocol: string): string {
  return protocol === 'HTTP/2.0' ? '2' : protocol.replace('HTTP/', '');
}

function nanos(ms: number): string {
  return `${BigInt(Math.round(ms * 1_000)) * 1_000n}`;
}

const longest = 1_024;

/** Of a row, or ours. */
function text(key: string, value: string): Attribute {
  return { key, value: { stringValue: value.slice(0, longest).toWellFormed() } };
}

/** Of a head, which is bytes, one a character; what is no UTF-8 becomes signs that say so. A copy: a part of a head keeps all of it. */
function told(key: string, value: string): Attribute {
  return text(key, Buffer.from(value.slice(0, longest), 'latin1').toString('utf8'));
}

function int(key: string, value: number): Attribute {
  return { key, value: { intValue: String(value) } };
}
