import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { endSignal } from '#kit/endsignal.ts';
import type { Log } from '#kit/log.ts';
import type { LogLevel } from '#kit/loglevel.ts';
import type { Ack, ChangeBatch, Commit } from '#table/change.ts';
import { fleetSecretId } from '#table/fleetsecret.ts';
import type { Problem } from '#table/problem.ts';
import { tableContract } from '#table/rows.ts';
import { allowed } from './fleet/allowance.ts';
import { openCodeCache } from './fleet/codecache.ts';
import { Crew } from './fleet/crew.ts';
import { doingOf } from './fleet/doing.ts';
import { Figures, shareFigures } from './fleet/figures.ts';
import { fleetPages } from './fleet/pages.ts';
import { Ports } from './fleet/ports.ts';
import { Upkeep } from './fleet/upkeep.ts';
import type { Limits } from './listen/limits.ts';
import { bindAddresses } from './listen/sockets.ts';
import { openAdmin } from './observe/admin.ts';
import { openProcessLog } from './observe/processlog.ts';
import { streamFigures } from './observe/streamfigures.ts';
import { TableDisk } from './receive/disk.ts';
import { Intake } from './receive/intake.ts';
import { Memory } from './receive/memory.ts';
import { TimeGuard } from './receive/order.ts';
import { adminOf, connectStream } from './receive/stream.ts';
import { faultsOf } from './receive/validate.ts';
import type { RedisSettings } from './share/redis.ts';
import { Share } from './share/share.ts';

export interface FleetOptions {
  /** Worker processes; 0: one per core that this process may use. */
  readonly workers: number;
  /** Ports of the listeners `http` and `https`; they win over the rows. 0: the kernel chooses. null: the rows rule. */
  readonly httpPort: number | null;
  readonly httpsPort: number | null;
  readonly adminPort: number;
  readonly adminAddress: string;
  /** Folder of the last good tables; null: none are kept. */
  readonly stateDir: string | null;
  /** Key of the secrets in stateDir, base64 of 32 bytes; null: a file in stateDir, made when absent. */
  readonly stateKeyFile: string | null;
  /** `off`, `stdout` or the path of a file. */
  readonly accessLog: string;
  /** Whose request metrics are shown beside ours, for dashboards that were made for it. */
  readonly metricsCompat: 'none' | 'ingress-nginx';
  /** Name of this proxy there. */
  readonly podName: string;
  readonly limits: Limits;
  /** Where the fleet shares what proxies remember; null: nowhere. */
  readonly redis: RedisSettings | null;
  readonly zone: string | null;
  readonly node: string | null;
  /** How long traffic is still taken after readiness went off, ms. */
  readonly drainDelayMs: number;
  /** Longest wait for requests in flight after that, ms. */
  readonly drainGraceMs: number;
  /** After this long of nothing but tables from the past, they are believed, ms. */
  readonly staleAcceptMs: number;
  /** ExternalName Services may lead to this machine. */
  readonly canUseLoopback: boolean;
  /** How long a worker may be silent before it is taken for hung and replaced, ms; 30 000 when absent. */
  readonly workerTimeoutMs?: number;
  readonly log: Log;
}

export interface FleetState {
  /** Content hash of the tables in force; '' before the first. */
  readonly hash: string;
  readonly commit: Commit | null;
  /** null when traffic is taken, else why not. */
  readonly unreadyReason: string | null;
  readonly workerPids: readonly number[];
}

export interface Fleet {
  /** Brings a batch into force in every worker, listeners included, or refuses it as a whole. Never rejects. */
  apply(batch: ChangeBatch): Promise<Ack>;
  state(): FleetState;
  /** Bound ports by listener id. */
  ports(): ReadonlyMap<string, number>;
  readonly adminPort: number;
  /** Settles when the first tables are in force in every worker. */
  readonly firstTable: Promise<void>;
  /** Adds Prometheus text to /metrics. */
  addMetrics(source: () => Promise<string>): void;
  /** Adds to /problems. */
  addProblems(source: () => readonly Problem[]): void;
  /** Opens the access logs anew, after they were rotated. */
  reopenLogs(): void;
  /** Drains: readiness off, drainDelayMs of service as before, then drainGraceMs for what is in flight. */
  stop(): Promise<void>;
}

/**
 * The proxy without its stream: workers, doors, tables, admin pages. Nothing is accepted before the first tables.
 * @throws when a port is taken, or the access log or the state folder cannot be used; the message is for the person who
 * started it
 */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { log } = options;
  const portsById = portsOf(options);
  for (const port of portsById.values()) if (port !== 0) probePort(port);
  await probeLog(options.accessLog);
  const workers = options.workers > 0 ? options.workers : availableParallelism();
  const disk =
    options.stateDir === null
      ? null
      : await TableDisk.open({ contract: tableContract, dir: options.stateDir, keyFile: options.stateKeyFile });
  const memory = disk === null ? null : new Memory(disk, log);
  const guard = new TimeGuard(options.staleAcceptMs);
  const first = Promise.withResolvers<void>();
  const problemSources: (() => readonly Problem[])[] = [];
  let isDraining = false;
  let hasBeenReady = false;

  const intake: Intake = new Intake({
    contract: tableContract,
    guard,
    log,
    nowMs: () => performance.now(),
    faultsOf,
    notApplied,
    spread: (delta, hash) => crew.apply(upkeep.follow(delta), hash),
    async onForce(table, delta, commit) {
      share?.follow(table.secret.get(fleetSecretId)?.value);
      await ports.follow(table.listener);
      memory?.changed(intake);
      first.resolve();
      const { generation, hash } = commit;
      log.debug({ generation, hash, upserts: delta.upserts.length, deletes: delta.deletes.length }, 'table in force');
    },
  });
  const problems = () => [
    ...intake.lastRefusal,
    ...ports.problems(),
    ...upkeep.problems(),
    ...(share?.problems() ?? []),
    ...problemSources.flatMap((source) => source()),
  ];
  const figures = new Figures({
    crew: () => crew,
    intake,
    problems,
    health: () => upkeep.health(),
    compatPod: options.metricsCompat === 'none' ? null : options.podName,
  });
  const crew = new Crew({
    size: workers,
    start: {
      limits: allowed(options.limits, workers, log),
      zone: options.zone,
      node: options.node,
      accessLog: options.accessLog,
      metricsCompat: options.metricsCompat,
    },
    codeCache: openCodeCache(),
    answerTimeoutMs: options.workerTimeoutMs ?? 30_000,
    doingOf,
    log,
    whole() {
      const whole = intake.whole();
      return whole && { delta: upkeep.fill(whole.delta), hash: whole.hash };
    },
    unhealthy: () => upkeep.unhealthy(),
    onLastWords: (snapshot) => figures.remember(snapshot),
    onAffinity: (entries) => share?.put(entries),
  });
  const share =
    options.redis === null
      ? null
      : new Share({ redis: options.redis, log, onEntries: (entries) => crew.learn(entries) });
  if (share !== null) figures.add(async () => shareFigures(share.state()));
  const upkeep = new Upkeep({
    table: () => intake.table,
    canUseLoopback: options.canUseLoopback,
    onAddresses(row) {
      const delta = { upserts: [{ kind: 'endpoints' as const, row }], deletes: [] };
      crew
        .apply(delta, intake.hash)
        .catch((error: Error) => log.error({ row: row.id, err: error.message }, 'addresses'));
    },
    onHealth({ key, backendId, isHealthy, reason }) {
      const fields = { row: backendId, endpoint: key, ...(reason !== '' && { reason }) };
      log.info(fields, isHealthy ? 'endpoint is healthy again' : 'endpoint is unhealthy');
      crew.tell({ type: 'health', words: [{ key, backendId, isHealthy }] });
    },
  });
  const ports = new Ports({ portsById, workers, log }, crew);

  function unreadyReason(): string | null {
    if (isDraining) return 'draining';
    if (intake.commit === null) return 'no tables yet';
    if (crew.readyCount < (hasBeenReady ? 1 : workers)) return 'workers are starting';
    if (!hasBeenReady && share?.hasSettled === false) return 'what other proxies remember is being read';
    hasBeenReady = true;
    return null;
  }

  const admin = await openAdmin({
    address: options.adminAddress,
    port: options.adminPort,
    unreadyReason,
    metrics: () => figures.text(),
    problems,
    pages: fleetPages({ crew, intake, upkeep }),
  }).catch(async (error: unknown) => {
    await crew.stop(0);
    throw error;
  });
  const recalled = await memory?.recall(intake, lastGoodAfterMs);
  if (recalled) guard.tookForce(recalled.holds);

  return {
    apply: (batch) => intake.take(batch),
    state: () => ({
      hash: intake.commit?.hash ?? '',
      commit: intake.commit,
      unreadyReason: unreadyReason(),
      workerPids: crew.pids,
    }),
    ports: () => ports.open(),
    adminPort: admin.port,
    firstTable: first.promise,
    addMetrics: (source) => figures.add(source),
    addProblems: (source) => problemSources.push(source),
    reopenLogs: () => crew.tell({ type: 'reopen' }),
    async stop() {
      const hadTables = intake.commit !== null;
      isDraining = true;
      if (hadTables) await new Promise((resolve) => setTimeout(resolve, options.drainDelayMs));
      ports.close();
      await crew.stop(options.drainGraceMs);
      upkeep.close();
      await share?.close();
      await memory?.close(intake);
      await admin.close();
    },
  };
}

/** How long a controller is waited for before the tables on disk come into force, ms. */
const lastGoodAfterMs = 2_000;

export interface ProxyOptions extends Omit<FleetOptions, 'log'> {
  readonly controllerUrls: readonly string[];
  readonly controllerCaFile: string;
  readonly tokenFile: string;
  /** Unique among the proxies of the controllers. */
  readonly proxyName: string;
  readonly logLevel: LogLevel;
}

/**
 * `sluice proxy`: a fleet that follows a controller. Returns after SIGTERM or SIGINT, drained; a second signal ends it now.
 * @throws as startFleet
 */
export async function runProxy(options: ProxyOptions): Promise<void> {
  const log = openProcessLog(options.logLevel, { proxy: options.proxyName });
  const fleet = await startFleet({ ...options, log });
  const stream = connectStream({
    contract: tableContract,
    urls: options.controllerUrls,
    caFile: options.controllerCaFile,
    tokenFile: options.tokenFile,
    name: options.proxyName,
    zone: options.zone,
    node: options.node,
    admin: adminOf(options.adminAddress, fleet.adminPort),
    current: () => fleet.state().commit,
    onBatch: (batch) => fleet.apply(batch),
    log,
  });
  fleet.addMetrics(async () => streamFigures(stream.state()));
  log.info({ admin: fleet.adminPort, workers: fleet.state().workerPids }, 'started');
  void fleet.firstTable.then(() => {
    log.info({ ports: Object.fromEntries(fleet.ports()), admin: fleet.adminPort }, 'listening');
  });
  // The second is what daemons are told to look anew by. What there is to look at we see by ourselves, but for this.
  for (const signal of ['SIGUSR2', 'SIGHUP'] as const) process.on(signal, () => fleet.reopenLogs());
  const signal = await endSignal();
  log.info({ signal }, 'draining');
  await fleet.stop();
  await stream.stop();
  log.info({}, 'stopped');
}

function portsOf({ httpPort, httpsPort }: FleetOptions): Map<string, number> {
  const portsById = new Map<string, number>();
  if (httpPort !== null) portsById.set('http', httpPort);
  if (httpsPort !== null) portsById.set('https', httpsPort);
  return portsById;
}

/** The stack is in the log. */
function notApplied(reason: string): Problem {
  return {
    code: 'TableNotApplied',
    severity: 'error',
    source: { kind: 'Proxy', namespace: '', name: '' },
    message: `A worker could not apply the table: ${reason}.`,
    hint: 'This is a fault of Sluice: report it with the log of the proxy. The last good table stays in force.',
  };
}

/** A taken port is said at once, not when the first tables come. */
function probePort(port: number): void {
  for (const { handles } of bindAddresses('tcp', [], port, 1)) for (const handle of handles) handle.close();
}

/** Workers drop lines that they cannot write; that a path leads nowhere is said at once. */
async function probeLog(target: string): Promise<void> {
  if (target === 'off' || target === 'stdout') return;
  const file = await open(target, 'a', 0o640).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`the access log ${target} cannot be opened: ${error.code}`);
  });
  await file.close();
}
