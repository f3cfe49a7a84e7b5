import { totalmem } from 'node:os';
import type { Log } from '#kit/log.ts';
import type { Limits } from '../listen/limits.ts';
import { connectionsByOpenFiles, udpFlowsByOpenFiles } from '../listen/openfiles.ts';

/**
 * The limits of a worker where the machine or the container allows less than was asked for: memory by default what the
 * container has, shared among the workers; connections and UDP flows by open files.
 */
export function allowed(limits: Limits, workers: number, log: Log): Limits {
  const connections = connectionsByOpenFiles();
  if (connections < limits.connections) {
    const { connections: asked } = limits;
    log.info({ asked, connections }, 'open files limit the connections of a worker (ulimit -n)');
  }
  const udpFlows = udpFlowsByOpenFiles();
  if (udpFlows < limits.udpFlows) {
    const { udpFlows: asked } = limits;
    log.info({ asked, udpFlows }, 'open files limit the UDP flows of a worker (ulimit -n)');
  }
  const container = process.constrainedMemory();
  if (limits.memoryBytes > 0 || container === 0 || container > totalmem()) return limits;
  // A tenth is for what the kernel keeps for sockets, which the container pays, too.
  const memoryBytes = Math.max(leastBytes, Math.floor((container * 0.9 - primaryBytes) / workers));
  log.info({ memoryBytes }, 'memory of a worker, by the container');
  return { ...limits, memoryBytes };
}

const primaryBytes = 128 << 20;
/** With less a worker would refuse everything. */
const leastBytes = 160 << 20;
