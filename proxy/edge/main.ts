import { endSignal } from '#kit/endsignal.ts';
import type { LogLevel } from '#kit/loglevel.ts';
import { planContract } from '#table/plan.ts';
import { openProcessLog } from '../observe/processlog.ts';
import { streamFigures } from '../observe/streamfigures.ts';
import { adminOf, connectStream, type TableStreamClient } from '../receive/stream.ts';
import { type EdgeOptions, startEdge } from './agent.ts';
import { keepYoungGenerationSmall } from './garbage.ts';

export interface EdgeProcessOptions extends Omit<EdgeOptions, 'log' | 'isPlanLive'> {
  readonly controllerUrls: readonly string[];
  readonly controllerCaFile: string;
  readonly tokenFile: string;
  readonly logLevel: LogLevel;
}

/**
 * `sluice edge`: the agent of a node that follows a controller. Returns after SIGTERM, SIGINT or SIGHUP; a second signal of the former
 * two ends it now. The rules stay in force.
 * @throws as startEdge
 */
export async function runEdge(options: EdgeProcessOptions): Promise<void> {
  const log = openProcessLog(options.logLevel, { edge: options.node });
  keepYoungGenerationSmall();
  let stream: TableStreamClient | null = null;
  const edge = await startEdge({ ...options, isPlanLive: () => stream?.state().isLeased ?? false, log });
  stream = connectStream({
    contract: planContract,
    urls: options.controllerUrls,
    caFile: options.controllerCaFile,
    tokenFile: options.tokenFile,
    name: options.node,
    zone: null,
    node: options.node,
    admin: adminOf(options.adminAddress, edge.adminPort),
    current: () => edge.state().commit,
    onBatch: (batch) => edge.apply(batch),
    announced: () => edge.announced(),
    log,
  });
  edge.addMetrics(async () => (stream === null ? '' : streamFigures(stream.state())));
  log.info({ admin: edge.adminPort, services: options.services }, 'started');
  // The last is that of a terminal that was closed.
  const signal = await endSignal('SIGHUP');
  log.info({ signal }, 'stopping');
  await stream.stop();
  await edge.stop();
  log.info({}, 'stopped; the rules stay in force');
}
