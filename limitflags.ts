import { z } from 'zod';
import { type Flag, flag, integer } from './controller/ops/flag.ts';
import { Limits } from './proxy/listen/limits.ts';

type LimitKey = keyof Limits;
type LimitFlagKey = `limit${Capitalize<LimitKey>}`;

const helpByLimit: Record<LimitKey, string> = {
  requestLineBytes: 'longest request line: 414',
  headBytes: 'longest request head: 431',
  headFields: 'most fields of a request head: 431',
  responseHeadBytes: 'longest head of a backend’s response: 502',
  responseHeadFields: 'most fields of a response head: 502',
  connections: 'open client connections per worker: 503',
  connectionsPerSource: 'of these, those of one IPv4 address or IPv6 /64; 0: what is fair',
  newConnectionsPerSource: 'connections that one address may open per second; 0: no limit',
  halfOpenHeads: 'request heads per worker that are partly there; of more the oldest is given up: 408',
  handshakes: 'TLS handshakes per worker at a time',
  handshakesPerSource: 'of these, those of one address; 0: what is fair',
  overloadMs: 'wait of new connections from which on some are turned away until it is short: 503; 0: never',
  memoryBytes: 'memory per worker, near which requests get 503; 0: what the container or the machine allows',
  requestsPerConnection: 'requests on one client connection',
  idleMs: 'silence between two requests',
  headMs: 'time for a request head: 408',
  bodyIdleMs: 'silence inside a request body: 408',
  bodyBytesPerSecond: 'rate at which a body must come, silences apart: 408; 0: no limit',
  writeIdleMs: 'time that a client may take nothing of its answer',
  halfCloseMs: 'wait for a backend after the client has closed its half',
  lingerMs: 'unread upload is thrown away for this long after an early answer',
  streams: 'requests that one HTTP/2 connection may have open at once',
  streamWindowBytes: 'upload that one HTTP/2 stream may have on the way',
  connectionWindowBytes: 'upload that one HTTP/2 connection may have unread',
  settingsMs: 'time from the start of an HTTP/2 connection to its SETTINGS',
  udpFlows: 'UDP flows per worker; datagrams of further clients are dropped',
  udpFlowsPerSource: 'of these, those of one IPv4 address or IPv6 /64',
  udpQuestionMs: 'idle time of a UDP flow whose client has sent one datagram only',
  handshakeMs: 'time for a TLS handshake',
  replayBytes: 'longest request body that is kept to be sent again',
  upstreamIdleConnections: 'idle connections kept per endpoint and worker',
  upstreamIdleMs: 'idle time of a kept connection',
  upstreamLifetimeMs: 'age after which a connection is not used again',
  upstreamRequests: 'requests on one backend connection',
  encoders: 'responses that are compressed at a time; others go as they are, also where memory is short',
  retriesPerSecond: 'retries per second and worker beside a fifth of the requests',
};

/** `--limit-head-bytes` and so on: one flag per limit of a worker. */
export const limitFlags = Object.fromEntries(
  Object.entries(Limits.shape).map(([key, schema]) => [flagKey(key as LimitKey), limitFlag(key as LimitKey, schema)]),
) as Record<LimitFlagKey, Flag<z.ZodType<number>>>;

/** The limits out of the values of limitFlags. */
export function limitsOf(values: Readonly<Record<LimitFlagKey, number>>): Limits {
  return Limits.parse(
    Object.fromEntries((Object.keys(Limits.shape) as LimitKey[]).map((key) => [key, values[flagKey(key)]])),
  );
}

function flagKey(key: LimitKey): LimitFlagKey {
  return `limit${key.charAt(0).toUpperCase()}${key.slice(1)}` as LimitFlagKey;
}

function limitFlag(key: LimitKey, schema: z.ZodType<number>): Flag<z.ZodType<number>> {
  const bounds = z.toJSONSchema(schema);
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = bounds;
  const value = integer(minimum, maximum).default(Number(bounds.default));
  return flag(value, key.endsWith('Ms') ? 'MS' : key.endsWith('Bytes') ? 'BYTES' : 'N', helpByLimit[key]);
}
