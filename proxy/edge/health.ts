import { createServer, type Server } from 'node:http';
import type { Log } from '#kit/log.ts';
import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { EdgeService } from '#table/service.ts';
import { changesOf, type Delta } from '../receive/changes.ts';

export interface HealthOptions {
  readonly node: string;
  /** null when the rules are in force, else why not. */
  unreadyReason(): string | null;
  readonly log: Log;
}

/**
 * Answers load balancers on the healthCheckNodePort of each Service that wants the traffic of a node to stay there: 200
 * while this node has ready endpoints of it. Those that terminate do not count, so that a node is left before its last
 * endpoint is gone.
 */
export class HealthPorts {
  readonly #options: HealthOptions;
  /** Those that have such a port. */
  readonly #services = new Map<string, EdgeService>();
  readonly #ports = new Map<number, HealthPort>();

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** @param plan as it is after the change */
  follow(plan: EdgePlan, delta: Delta<PlanRows>): void {
    for (const [id, service] of changesOf(delta, 'service')) {
      if (service === null || service.healthCheckNodePort === null) this.#services.delete(id);
      else this.#services.set(id, service);
    }
    const wanted = new Set<number>();
    for (const { healthCheckNodePort: port, namespace, name, ports } of this.#services.values()) {
      if (port === null) continue;
      wanted.add(port);
      // A pod of both families is one endpoint.
      const byFamily = [new Set<string>(), new Set<string>()] as const;
      for (const { endpointsId } of ports) {
        for (const { address, node, ready } of plan.endpoints.get(endpointsId)?.endpoints ?? []) {
          if (ready && node === this.#options.node) byFamily[address.includes(':') ? 1 : 0].add(address);
        }
      }
      const state = { service: { namespace, name }, localEndpoints: Math.max(byFamily[0].size, byFamily[1].size) };
      const open = this.#ports.get(port);
      if (open === undefined) this.#ports.set(port, this.#open(port, state));
      else open.state = state;
    }
    for (const [port, open] of this.#ports) {
      if (wanted.has(port)) continue;
      this.#ports.delete(port);
      close(open);
    }
  }

  close(): void {
    for (const open of this.#ports.values()) close(open);
    this.#ports.clear();
  }

  #open(port: number, state: ServiceHealth): HealthPort {
    const { log, unreadyReason } = this.#options;
    const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
      const { service, localEndpoints } = open.state;
      const serviceProxyHealthy = unreadyReason() === null;
      request.resume();
      response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': String(localEndpoints),
      });
      response.end(JSON.stringify({ service, localEndpoints, serviceProxyHealthy }));
    });
    const open: HealthPort = { server, state, retry: null };
    server.on('clientError', (_error, socket) => socket.destroy());
    server.on('error', (error: NodeJS.ErrnoException) => {
      // For want of a descriptor a connection was not accepted: the port is ours.
      if (server.listening) return;
      if (open.retry === null)
        log.warn(
          { port, service: open.state.service, err: error.code },
          'the health check port cannot be opened; beside kube-proxy, that one answers there',
        );
      // Where nothing changes for hours, nobody would answer there after kube-proxy has gone.
      if (this.#ports.get(port) === open) open.retry = setTimeout(() => server.listen(port), retryMs);
    });
    server.on('listening', () => {
      open.retry = null;
    });
    server.listen(port);
    return open;
  }
}

interface ServiceHealth {
  readonly service: { readonly namespace: string; readonly name: string };
  readonly localEndpoints: number;
}

interface HealthPort {
  readonly server: Server;
  state: ServiceHealth;
  /** Somebody else has the port, as kube-proxy where it runs beside the agent, which was said; null: it is ours. */
  retry: NodeJS.Timeout | null;
}

const retryMs = 2_000;

function close({ server, retry }: HealthPort): void {
  if (retry !== null) clearTimeout(retry);
  server.close();
  server.closeAllConnections();
}
