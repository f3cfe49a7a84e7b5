import { flushCompileCache } from 'node:module';
import { createSecureContext } from 'node:tls';
import { checkHandles } from './carry/handle.ts';
import { Gathering } from './fleet/gathering.ts';
import type { Ask, FromWorker, ToWorker, WorkerStart } from './fleet/messages.ts';
import { letHelpersYield } from './fleet/priority.ts';
import { clock } from './listen/clock.ts';
import { regexEngineIsLinear } from './match/regex.ts';
import { AccessLog } from './observe/accesslog.ts';
import { CompatMetrics } from './observe/compatmetrics.ts';
import type { Observer } from './observe/record.ts';
import { Spans } from './observe/spans.ts';
import { WorkerMetrics } from './observe/workermetrics.ts';
import { Gateway } from './pipeline.ts';
import { Live } from './receive/apply.ts';
import { Selector } from './select/selector.ts';
import { type AffinityEntry, LocalAffinity } from './share/affinity.ts';
import { uptimeMs } from './share/uptime.ts';

/** What a worker consists of once it was told how to start. */
interface Parts {
  readonly live: Live;
  readonly selector: Selector;
  readonly memory: LocalAffinity;
  readonly gateway: Gateway;
  readonly metrics: WorkerMetrics;
  readonly accessLog: AccessLog;
  readonly spans: Spans;
}

/** How long a worker without its primary goes on with what is in flight, ms. */
const orphanGraceMs = 5_000;

let parts: Parts | null = null;
let untold: AffinityEntry[] = [];
const gathering = new Gathering();

letHelpersYield();
// Signals go to the whole process group at Ctrl-C, or when a terminal is closed; when a worker leaves is the primary's decision.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('message', (message, handle) => void hear(message as ToWorker, handle));
// The primary is gone: its successor starts workers of its own.
process.on('disconnect', () => void leave(orphanGraceMs));

async function hear(message: ToWorker, handle: unknown): Promise<void> {
  switch (message.type) {
    case 'part':
      gathering.add(message.upserts);
      return;
    case 'affinity':
      for (const entry of message.entries) parts?.memory.learn(entry);
      return;
    case 'health':
      for (const { key, backendId, isHealthy } of message.words)
        parts?.selector.setHealth(key, backendId, isHealthy, performance.now());
      return;
    case 'reopen':
      parts?.accessLog.reopen();
      return;
    case 'spread':
      parts?.gateway.spreading.sendAway(message.connections);
      return;
    case 'drain':
      await leave(message.graceMs);
      return;
    default:
      await answer(message, handle);
  }
}

async function answer(question: Ask & { readonly sequence: number }, handle: unknown): Promise<void> {
  const { sequence } = question;
  try {
    if (question.type === 'start') {
      parts = assemble(question.start);
      // A worker that is killed later leaves nothing behind; its successor starts faster with this (fleet/codecache.ts).
      flushCompileCache();
    } else if (parts === null) {
      throw new Error('a worker was asked before it was started');
    } else if (question.type === 'apply') {
      const { upserts, deletes } = question.delta;
      gathering.add(upserts);
      parts.live.apply({ upserts: gathering.take(), deletes }, question.hash, performance.now());
    } else if (question.type === 'listen') {
      await parts.gateway.openListener(question.listener, handle as never);
    } else if (question.type === 'unlisten') {
      parts.gateway.closeListener(question.listenerId);
    } else if (question.type === 'metrics') {
      const { live, metrics } = parts;
      say({ type: 'done', sequence, snapshot: metrics.snapshot() });
      metrics.letGo((routeId) => live.hasRoute(routeId));
      return;
    } else if (question.type === 'ping') {
      say({ type: 'done', sequence, load: parts.gateway.spreading.look() });
      return;
    } else if (question.type === 'look') {
      const endpoints = parts.selector.look(question.backendId, performance.now());
      say({ type: 'done', sequence, look: { ...parts.metrics.doings(), endpoints } });
      return;
    }
    say({ type: 'done', sequence });
  } catch (error) {
    say({ type: 'failed', sequence, message: (error as Error).stack ?? String(error) });
  }
}

function assemble({ limits, zone, node, accessLog: target, metricsCompat }: WorkerStart): Parts {
  checkHandles(createSecureContext());
  const isLinear = regexEngineIsLinear(() => process.threadCpuUsage());
  if (!isLinear) log('warn', {}, 'the regex engine is not linear: patterns are matched by re2js');
  const memory = new LocalAffinity({ clockOriginMs: uptimeMs() - performance.now() });
  memory.onRemember(tellSiblings);
  const selector = new Selector({
    zone,
    node,
    random: Math.random,
    memory,
    wallOriginMs: () => clock.wallOriginMs,
    onEject({ key, backendId, reason, forMs, isLeftOut }) {
      const fields = { row: backendId, endpoint: key, reason, forMs };
      if (isLeftOut) {
        metrics.ejected(reason);
        log('warn', fields, 'endpoint is left out');
      } else {
        metrics.ejectionWithheld(reason);
        log('warn', fields, 'endpoint fails and stays in use: no more of its backend may be left out now');
      }
    },
  });
  const live = new Live(selector, (row, reason) => log('error', { row, reason }, 'certificate cannot be used'));
  const accessLog = new AccessLog({ target });
  const spans = new Spans((endpoint, reason) => {
    if (reason === null) log('warn', { endpoint }, 'the collector takes spans again');
    else log('warn', { endpoint, reason }, 'the collector takes no spans: they are dropped');
  });
  const metrics = new WorkerMetrics({ accessLog, spans }, metricsCompat === 'none' ? null : new CompatMetrics());
  const observer = observerOf(metrics, target === 'off' ? null : accessLog, spans);
  return {
    live,
    selector,
    memory,
    metrics,
    accessLog,
    spans,
    gateway: new Gateway({ tables: live, observer, limits }),
  };
}

function observerOf(metrics: WorkerMetrics, accessLog: AccessLog | null, spans: Spans): Observer {
  return {
    finished(record) {
      metrics.finished(record);
      accessLog?.finished(record);
      spans.finished(record);
    },
    flowEnded(record) {
      metrics.flowEnded(record);
      accessLog?.flowEnded(record);
    },
    datagramDropped: () => metrics.datagramDropped(),
    connectionOpened: (listenerId) => metrics.connectionOpened(listenerId),
    connectionClosed: (listenerId) => metrics.connectionClosed(listenerId),
    requestStarted: () => metrics.requestStarted(),
    connectionTurnedAway: (reason) => metrics.connectionTurnedAway(reason),
    handshakeFailed: (fault) => metrics.handshakeFailed(fault),
  };
}

/** One message per turn, however many clients came. */
function tellSiblings(entry: AffinityEntry): void {
  if (untold.push(entry) > 1) return;
  setImmediate(() => {
    say({ type: 'affinity', entries: untold });
    untold = [];
  });
}

async function leave(graceMs: number): Promise<void> {
  await parts?.gateway.drain(graceMs);
  await parts?.accessLog.close();
  await parts?.spans.close();
  process.exit(0);
}

function log(level: 'warn' | 'error', fields: object, message: string): void {
  say({ type: 'log', level, fields, message });
}

function say(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}
