import type { Log } from '#kit/log.ts';
import type { AnnouncedBy } from '#table/announced.ts';
import type { Ack, ChangeBatch, Commit } from '#table/change.ts';
import { checkPointers } from '#table/check.ts';
import { kindsOf } from '#table/contract.ts';
import { type PlanRows, planContract } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import { changeInOrder } from '../announce/inorder.ts';
import { openAnnouncers } from '../announce/open.ts';
import { openAdmin } from '../observe/admin.ts';
import { dumpOf } from '../observe/dump.ts';
import { refsOf } from '../receive/changes.ts';
import { TableDisk } from '../receive/disk.ts';
import { Intake } from '../receive/intake.ts';
import { Memory } from '../receive/memory.ts';
import { TimeGuard } from '../receive/order.ts';
import { conntrackUse } from './conntrack.ts';
import { DataPlane } from './dataplane.ts';
import { figuresText } from './figures.ts';
import type { ServiceScope } from './frontends.ts';
import { collectGarbage } from './garbage.ts';
import { HealthPorts } from './health.ts';
import { openNodeHealth } from './nodehealth.ts';
import type { EdgeStatus } from './status.ts';

export interface EdgeOptions {
  /** Name of the node that this is. */
  readonly node: string;
  readonly services: ServiceScope;
  /** What the pods of this node have their addresses from; empty: as the plan says. */
  readonly podCidrs: readonly string[];
  readonly podInterfaces: readonly string[];
  readonly masqueradeBit: number;
  readonly adminAddress: string;
  readonly adminPort: number;
  /** Where load balancers ask whether the node is fit; null: nowhere. */
  readonly nodeHealthPort: number | null;
  /** UDP port by which edges hear each other; the same on all nodes. */
  readonly heartbeatPort: number;
  /** How long the kernel keeps an address of layer 2 that is not renewed, 3 to 60 s. */
  readonly addressLifetimeS: number;
  /** Folder of the last good plan; null: none is kept. */
  readonly stateDir: string | null;
  readonly stateKeyFile: string | null;
  /** Folder of what goes on when the agent ends, and must not outlive a boot: BIRD's files and socket. */
  readonly runDir: string;
  /** After this long of nothing but plans from the past, they are believed, ms. */
  readonly staleAcceptMs: number;
  /** Whether the controllers are there to say what changes. */
  isPlanLive(): boolean;
  readonly log: Log;
}

interface EdgeState {
  readonly hash: string;
  readonly commit: Commit | null;
  /** null when the plan is in force, else why not. */
  readonly unreadyReason: string | null;
}

export interface Edge {
  /** Brings a batch into force, or refuses it as a whole. Never rejects. */
  apply(batch: ChangeBatch<PlanRows>): Promise<Ack>;
  state(): EdgeState;
  /** Addresses that this node announces now. */
  announced(): Iterable<AnnouncedBy>;
  readonly adminPort: number;
  /** Adds Prometheus text to /metrics. */
  addMetrics(source: () => Promise<string>): void;
  /** Leaves the rules in force: whoever restarts an agent wants no gap. */
  stop(): Promise<void>;
}

/**
 * The agent of a node without its stream: plans in, rules and health ports out, admin pages.
 * @throws when nft cannot be used, or a port or the state folder; the message is for the person who started it
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { log, node } = options;
  const disk =
    options.stateDir === null
      ? null
      : await TableDisk.open({ contract: planContract, dir: options.stateDir, keyFile: options.stateKeyFile });
  const memory = disk === null ? null : new Memory(disk, log);
  const guard = new TimeGuard(options.staleAcceptMs);
  const dataPlane = await DataPlane.open({
    node,
    scope: options.services,
    podCidrs: options.podCidrs.length > 0 ? options.podCidrs : null,
    podInterfaces: options.podInterfaces,
    masqueradeBit: options.masqueradeBit,
    log,
  });
  const unreadyReason = () => (intake.commit === null ? 'no plan yet' : dataPlane.unreadyReason);
  const announcers = await openAnnouncers({
    node,
    unreadyReason: () => dataPlane.unreadyReason,
    runDir: options.runDir,
    isPlanLive: () => options.isPlanLive(),
    heartbeatPort: options.heartbeatPort,
    addressLifetimeS: options.addressLifetimeS,
    log,
  });
  const health = new HealthPorts({ node, unreadyReason, log });
  const metricSources: (() => Promise<string>)[] = [];

  const intake: Intake<PlanRows> = new Intake({
    contract: planContract,
    guard,
    log,
    nowMs: () => performance.now(),
    faultsOf(plan, delta) {
      return checkPointers(planContract, plan, refsOf(delta), delta.deletes);
    },
    notApplied,
    spread: (delta) => changeInOrder(announcers, intake.table, delta, () => dataPlane.apply(intake.table, delta)),
    async onForce(plan, delta, { generation, hash }) {
      health.follow(plan, delta);
      memory?.changed(intake);
      if (delta.upserts.length > manyRows) setTimeout(collectGarbage, collectAfterMs).unref();
      log.debug({ generation, hash, upserts: delta.upserts.length, deletes: delta.deletes.length }, 'plan in force');
    },
  });
  async function status(): Promise<EdgeStatus> {
    const { applied, lastMs, failures } = dataPlane.figures;
    return {
      node,
      services: options.services,
      unreadyReason: unreadyReason(),
      plan: { hash: intake.commit?.hash ?? '', generation: intake.commit?.generation ?? 0 },
      rows: Object.fromEntries(kindsOf(planContract.schemas).map((kind) => [kind, intake.table[kind].size])),
      rules: { transactions: applied, lastMs, failures },
      conntrack: await conntrackUse(),
      announcing: announcers.map((each) => each.status()),
      problems: problems(),
    };
  }
  const problems = () => [
    ...intake.lastRefusal,
    ...dataPlane.problems(intake.table),
    ...announcers.flatMap((each) => each.problems()),
  ];
  const admin = await openAdmin({
    address: options.adminAddress,
    port: options.adminPort,
    unreadyReason,
    async metrics() {
      const added = await Promise.all(metricSources.map((source) => source().catch(() => '')));
      return [
        figuresText({
          intake,
          rules: dataPlane.figures,
          announcers,
          problems: problems(),
          conntrack: await conntrackUse(),
        }),
        ...added,
      ].join('');
    },
    problems,
    pages: {
      '/plan': () => ({
        hash: intake.commit?.hash ?? '',
        generation: intake.commit?.generation ?? 0,
        ...dumpOf(planContract, intake.table),
      }),
      '/status': status,
    },
  });
  const closeNodeHealth =
    options.nodeHealthPort === null
      ? () => {}
      : await openNodeHealth({
          port: options.nodeHealthPort,
          unreadyReason,
          isLeaving: () => intake.table.node.get(node)?.isLeaving ?? false,
        });
  // The kernel has the rules of this plan already, unless the node was restarted; then they are better than none.
  const recalled = await memory?.recall(intake, 0);
  if (recalled) guard.tookForce(recalled.holds);

  const watch = setInterval(() => {
    if (intake.commit === null) return;
    dataPlane.verify().catch((error: Error) => log.error({ err: error.message }, 'the rules cannot be written'));
  }, verifyEveryMs);
  const renewal = setInterval(() => {
    if (intake.commit === null) return;
    dataPlane.restore().catch((error: Error) => log.error({ err: error.message }, 'the rules cannot be written'));
  }, restoreEveryMs);

  return {
    apply: (batch) => intake.take(batch),
    state: () => ({ hash: intake.commit?.hash ?? '', commit: intake.commit, unreadyReason: unreadyReason() }),
    announced: () => announcers.values().flatMap((each) => each.announced()),
    adminPort: admin.port,
    addMetrics: (source) => metricSources.push(source),
    async stop() {
      clearInterval(watch);
      clearInterval(renewal);
      await Promise.all(announcers.map((each) => each.stop()));
      health.close();
      closeNodeHealth();
      await memory?.close(intake);
      await admin.close();
    },
  };
}

/** A change that leaves enough behind to be looked after, and when: not among the changes that follow it. */
const manyRows = 10_000;
const collectAfterMs = 3_000;
/** How soon a table that somebody flushed is back, ms. */
const verifyEveryMs = 5_000;
/** What others may have done to single rules and elements shows in nothing that is cheap to ask for. */
const restoreEveryMs = 3_600_000;

function notApplied(reason: string): Problem {
  return {
    code: 'PlanNotApplied',
    severity: 'error',
    source: { kind: 'Edge', namespace: '', name: '' },
    message: `The node could not apply the plan: ${reason}.`,
    hint: 'sluice edge doctor, on the node, says what is missing. The rules that were in force stay.',
  };
}
