import type { ExchangeRecord, FlowRecord } from '../../proxy/observe/record.ts';

/** A finished exchange of which a test cares about a few fields only. */
export function exchangeRecord(fields: Partial<ExchangeRecord>): ExchangeRecord {
  const record: Omit<ExchangeRecord, 'routeSerial' | 'backendSerial'> = {
    startMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    durationMs: 2.34567,
    upstreamMs: 2.5,
    connectMs: 0.5,
    method: 'GET',
    target: '/a?b=c',
    scheme: 'http',
    protocol: 'HTTP/1.1',
    authority: 'shop.example',
    status: 200,
    grpcErrorStatus: 0,
    flag: '-',
    bytesReceived: 0,
    bytesSent: 0,
    clientAddress: '192.0.2.1',
    requestId: 'id-1',
    requestIdStart: '',
    requestIdLast: 0,
    userAgent: 'curl/8',
    forwardedFor: '',
    loggedClient: null,
    serverName: '',
    upstreamHost: '10.0.0.1:8080',
    tries: 1,
    retryRefusal: '',
    overflow: '',
    upstreamFault: '',
    routeId: 'ingress/shop/web/0/0',
    routePath: '/a',
    trace: null,
    routeIndex: 0,
    routeSource: { kind: 'Ingress', namespace: 'shop', name: 'web' },
    backendId: 'shop/web/80',
    service: { namespace: 'shop', name: 'web', port: '80' },
    ...fields,
  };
  return { routeSerial: serialOf(record.routeId), backendSerial: serialOf(record.backendId), ...record };
}

/** One for each id, as in a table that does not change. */
function serialOf(id: string): number {
  if (id === '') return 0;
  const serial = serials.get(id) ?? serials.size + 1;
  serials.set(id, serial);
  return serial;
}

const serials = new Map<string, number>();

/** An ended TCP connection of which a test cares about a few fields only. */
export function flowRecord(fields: Partial<FlowRecord>): FlowRecord {
  return {
    startMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    durationMs: 2.34567,
    answerMs: 2.5,
    protocol: 'TCP',
    flag: '-',
    bytesReceived: 1,
    bytesSent: 2,
    clientAddress: '192.0.2.1',
    serverName: '',
    upstreamHost: '10.0.0.1:5432',
    tries: 1,
    routeId: 'tcp/5432',
    routeSource: { kind: 'ConfigMap', namespace: 'ingress', name: 'tcp-services' },
    backendId: 'shop/db/5432',
    service: { namespace: 'shop', name: 'db', port: '5432' },
    ...fields,
  };
}
