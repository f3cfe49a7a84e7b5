import { totalmem } from 'node:os';
import type { Log } from '#kit/log.ts';
import type { Limits } from '../listen/limits.ts';
import { connectionsByOpenFiles, udpFlowsByOpenFiles } from '../listen/openfiles.ts';

/**
 * The limits of a worker where the machine or the container allows less than was asked for: memory by default what the
 * container has, or else the machine, shared among the workers; connections and UDP flows by open files.
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
  if (limits.memoryBytes > 0) return limits;
  const memoryBytes = memoryOfWorker(workers);
  log.info({ memoryBytes }, 'memory of a worker, by the container or the machine');
  return { ...limits, memoryBytes };
}

/** Pods without a limit take it from their node: a flood would end in the kernel's choice of whom to kill, or at the end of V8's heap. */
function memoryOfWorker(workers: number): number {
  const container = process.constrainedMemory();
  const room = container === 0 ? totalmem() : Math.min(container, totalmem());
  // A tenth is for what the kernel keeps for sockets, which the container pays, too.
  const share = Math.floor((room * 0.9 - primaryBytes) / workers);
  return Math.min(mostBytes, Math.max(leastBytes, share));
}

const primaryBytes = 128 << 20;
/** With less a worker would refuse everything. */
const leastBytes = 160 << 20;
/** One core that looks through more for what it may collect is away from its clients for seconds. */
const mostBytes = 4 * 1024 ** 3;
