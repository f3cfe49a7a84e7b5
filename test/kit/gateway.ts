import { Limits } from '../../proxy/listen/limits.ts';
import type { ExchangeRecord, Observer } from '../../proxy/observe/record.ts';
import { Gateway } from '../../proxy/pipeline.ts';
import { Live } from '../../proxy/receive/apply.ts';
import { Selector } from '../../proxy/select/selector.ts';
import { LocalAffinity } from '../../proxy/share/affinity.ts';
import type { Row } from '../../proxy/table/rows.ts';

/** What of a record outlives the exchange. */
export type KeptRecord = Pick<
  ExchangeRecord,
  | 'method'
  | 'target'
  | 'status'
  | 'grpcErrorStatus'
  | 'flag'
  | 'bytesSent'
  | 'bytesReceived'
  | 'tries'
  | 'retryRefusal'
  | 'overflow'
  | 'upstreamHost'
  | 'requestId'
  | 'protocol'
>;

/** One worker's gateway in the test's own process. */
export interface TestGateway {
  readonly gateway: Gateway;
  readonly live: Live;
  readonly port: number;
  readonly records: KeptRecord[];
  apply(rows: readonly Row[]): void;
  stop(): Promise<void>;
}

/** Opens the listener `http` of the rows. */
export async function testGateway(rows: readonly Row[], limits: Partial<Limits> = {}): Promise<TestGateway> {
  const memory = new LocalAffinity();
  const selector = new Selector({
    zone: null,
    node: null,
    random: Math.random,
    memory,
    wallOriginMs: () => performance.timeOrigin,
    onEject: () => {},
  });
  const live = new Live(selector, () => undefined);
  const records: KeptRecord[] = [];
  const observer: Observer = {
    finished(record) {
      const { method, target, status, grpcErrorStatus, flag, bytesSent, bytesReceived } = record;
      const { tries, retryRefusal, overflow, upstreamHost, requestId, protocol } = record;
      const told = { method, target, status, grpcErrorStatus, flag, bytesSent, bytesReceived };
      records.push({ ...told, tries, retryRefusal, overflow, upstreamHost, requestId, protocol });
    },
    flowEnded: () => undefined,
    datagramDropped: () => undefined,
    connectionOpened: () => undefined,
    connectionClosed: () => undefined,
    requestStarted: () => undefined,
    connectionTurnedAway: () => undefined,
    handshakeFailed: () => undefined,
  };
  const gateway = new Gateway({ tables: live, observer, limits: Limits.parse(limits) });
  const apply = (upserts: readonly Row[]) => live.apply({ upserts: [...upserts], deletes: [] }, 'test', Date.now());
  apply(rows);
  const listener = live.listeners.get('http');
  if (listener === undefined) throw new Error('the rows hold no listener http');
  const { port } = await gateway.openListener(listener, 0);
  return { gateway, live, port, records, apply, stop: () => gateway.drain(0) };
}
