import type { Probe } from '#table/resilience.ts';
import { askOverHttp2 } from './http2.ts';
import type { Peer } from './peer.ts';

/**
 * grpc.health.v1.Health/Check (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). The two messages have one field each, so they are written and read by hand.
 */
export async function grpcFault(
  peer: Peer,
  probe: Extract<Probe, { type: 'grpc' }>,
  signal: AbortSignal,
): Promise<string | null> {
  const headers = {
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
  };
  const { head, trailers, body } = await askOverHttp2(peer, probe.host, headers, requestBytes(probe.service), signal);
  // An answer without a message has its status in the head (Trailers-Only).
  return faultOf(head, String(trailers['grpc-status'] ?? head['grpc-status']), body);
}

function faultOf(head: Record<string, unknown>, grpcStatus: string, body: Buffer): string | null {
  if (head[':status'] !== 200) return `status ${head[':status']}`;
  if (grpcStatus !== '0') return `grpc-status ${grpcStatus}`;
  const status = servingStatus(body);
  return status === 'SERVING' ? null : status;
}

/** HealthCheckRequest { string service = 1; }, as a message of gRPC: no compression, length, bytes. */
function requestBytes(service: string): Buffer {
  const name = Buffer.from(service);
  const field = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(field.length, 1);
  return Buffer.concat([prefix, field]);
}

const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

/** HealthCheckResponse { ServingStatus status = 1; }: UNKNOWN, the zero, is not written. Fields that came later are not expected. */
function servingStatus(body: Buffer): string {
  const isWhole = body.length >= 5 && body[0] === 0 && body.length === 5 + body.readUInt32BE(1);
  if (!isWhole) return 'an answer that is no message';
  if (body.length === 5) return 'UNKNOWN';
  return body.length === 7 && body[5] === 0x08 ? (statusNames[body[6] as number] ?? `status ${body[6]}`) : 'UNKNOWN';
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
