import type { Source } from '#table/problem.ts';
import type { ExchangeRecord, FlowRecord } from './record.ts';

/**
 * One request as a line of JSON, with its line feed. Names are those of Envoy's default access log, for which every log
 * pipeline has a parser, and the Kubernetes identity that ingress controllers add. Durations are in milliseconds. Absent is
 * null, but for upstream_transport_failure_reason, which next to no line has. Written by hand, because JSON.stringify of an object costs several times as much; all text is escaped.
 */
export function logLine(record: ExchangeRecord): string {
  return (
    `{"start_time":"${isoTime(record.startMs)}"` +
    `,"method":${text(record.method)}` +
    `,"path":${text(record.target)}` +
    `,"protocol":${text(record.protocol)}` +
    `,"response_code":${record.status}` +
    `,"response_flags":"${record.flag}"` +
    `,"bytes_received":${record.bytesReceived}` +
    `,"bytes_sent":${record.bytesSent}` +
    `,"duration":${milliseconds(record.durationMs)}` +
    `,"upstream_service_time":${record.upstreamMs < 0 ? 'null' : milliseconds(record.upstreamMs)}` +
    `,"x_forwarded_for":${text(record.forwardedFor)}` +
    `,"client_address":${text(record.clientAddress)}` +
    `,"user_agent":${text(record.userAgent)}` +
    `,"request_id":${text(record.requestId)}` +
    `,"authority":${text(record.authority)}` +
    `,"upstream_host":${text(record.upstreamHost)}` +
    `,"upstream_tries":${record.tries}` +
    `,"retry_refused":${text(record.retryRefusal)}` +
    (record.upstreamFault === '' ? '' : `,"upstream_transport_failure_reason":${text(record.upstreamFault)}`) +
    `,"requested_server_name":${text(record.serverName)}` +
    whereTo(record)
  );
}

/** The same for a flow: a line with the same names, as Envoy has it, where those of requests are null. */
export function flowLine(record: FlowRecord): string {
  return (
    `{"start_time":"${isoTime(record.startMs)}"` +
    `,"method":null,"path":null` +
    `,"protocol":"${record.protocol}"` +
    `,"response_code":0` +
    `,"response_flags":"${record.flag}"` +
    `,"bytes_received":${record.bytesReceived}` +
    `,"bytes_sent":${record.bytesSent}` +
    `,"duration":${milliseconds(record.durationMs)}` +
    `,"upstream_service_time":${record.answerMs < 0 ? 'null' : milliseconds(record.answerMs)}` +
    `,"x_forwarded_for":null` +
    `,"client_address":${text(record.clientAddress)}` +
    `,"user_agent":null,"request_id":null,"authority":null` +
    `,"upstream_host":${text(record.upstreamHost)}` +
    `,"upstream_tries":${record.tries}` +
    `,"requested_server_name":${text(record.serverName)}` +
    whereTo(record)
  );
}

/** The end of the line, which is the same for all requests of a route to one of its backends: the last one is kept. */
const endsBySource = new WeakMap<
  Source,
  { readonly routeId: string; readonly backendId: string; readonly text: string }
>();

function whereTo(record: ExchangeRecord | FlowRecord): string {
  const { routeId, backendId, routeSource, service } = record;
  const kept = routeSource ? endsBySource.get(routeSource) : undefined;
  if (kept && kept.routeId === routeId && kept.backendId === backendId) return kept.text;
  const end =
    `,"upstream_cluster":${text(backendId)}` +
    `,"route_name":${text(routeId)}` +
    `,"ingress":${text(routeSource?.kind === 'Ingress' ? routeSource.name : '')}` +
    `,"namespace":${text(routeSource?.namespace ?? '')}` +
    `,"service":${text(service?.name ?? '')}` +
    `,"service_port":${text(service?.port ?? '')}}\n`;
  if (routeSource) endsBySource.set(routeSource, { routeId, backendId, text: end });
  return end;
}

/** JSON of a text; null when it is empty. */
function text(value: string): string {
  if (value === '') return 'null';
  return /^[ !#-[\]-~]*$/.test(value) ? `"${value}"` : JSON.stringify(value);
}

/** At most three decimals. */
const milliseconds = (ms: number) => Math.round(ms * 1000) / 1000;

let cachedSecond = Number.NaN;
let cachedPrefix = '';

/** RFC 3339 in UTC with milliseconds; the part down to the second is made once per second. */
function isoTime(ms: number): string {
  const whole = Math.floor(ms);
  const second = Math.floor(whole / 1000);
  if (second !== cachedSecond) {
    cachedSecond = second;
    cachedPrefix = new Date(second * 1000).toISOString().slice(0, 20);
  }
  return `${cachedPrefix}${String(whole - second * 1000).padStart(3, '0')}Z`;
}
