import type { Connection } from './connection.ts';
import type { Sweep } from './sweep.ts';

/** Clients of pages pause: what one second has seen of them is chance. */
const mostIdleLooks = 10;

/** What a worker has to do, since it was last asked. */
export interface WorkerLoad {
  /** Client connections that have had requests of late. */
  readonly connections: number;
  /** Of its time, 0 to 1. */
  readonly utilization: number;
}

/**
 * The kernel gives each new connection to one of the workers by a hash: of 256, the fullest of eight has one and a half times the
 * mean. What is too much is sent away, with the answer to its next request, and finds another worker, or the same one, by another
 * hash. How much that is the primary says, who knows the others (fleet/spread.ts).
 */
export class Spreading {
  readonly #connections: Sweep<Connection>;
  #utilization = performance.eventLoopUtilization();

  constructor(connections: Sweep<Connection>) {
    this.#connections = connections;
  }

  look(): WorkerLoad {
    const { utilization } = performance.eventLoopUtilization(this.#utilization);
    this.#utilization = performance.eventLoopUtilization();
    let connections = 0;
    this.#connections.forEach((connection) => {
      connection.idleLooks = connection.requests > connection.requestsSeen ? 0 : connection.idleLooks + 1;
      connection.requestsSeen = connection.requests;
      if (connection.requests > 0 && connection.idleLooks < mostIdleLooks && !isGoing(connection)) connections++;
    });
    return { connections, utilization };
  }

  /** Of those that have had a request since the last look. None is closed while it is idle: what its client sends just then would be lost. */
  sendAway(count: number): void {
    let left = count;
    this.#connections.forEach((connection) => {
      if (left === 0 || connection.requests === connection.requestsSeen || isGoing(connection)) return;
      left--;
      connection.lastRequest = connection.requests + 1;
    });
  }
}

/** It is no load any more: were it counted until its client asks again, others would be sent away in its place. */
function isGoing({ requests, lastRequest }: Connection): boolean {
  return requests + 1 >= lastRequest;
}
