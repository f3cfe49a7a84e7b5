import { isIP, isIPv6 } from 'node:net';
import { Agent } from 'undici';
import type { Backend, Endpoint, Endpoints } from '#table/backend.ts';
import type { HealthCheck } from '#table/resilience.ts';
import { endpointKey } from '../select/endpoint.ts';

export interface ProberOptions {
  /** Called when an endpoint's health changes for a backend; every endpoint counts as healthy at first. */
  readonly onHealth: (key: string, backendId: string, isHealthy: boolean) => void;
  /** CA bundle of a secret row; null: there is none. */
  readonly caPem: (secretId: string) => string | null;
  /** 0 ≤ n < 1; spreads the probes over their interval. */
  readonly random: () => number;
}

/** Changed rows by id; null: the row is gone. */
export interface ProberChange {
  readonly backends: ReadonlyMap<string, Backend | null>;
  readonly endpoints: ReadonlyMap<string, Endpoints | null>;
}

/** One endpoint of one backend. */
interface Target {
  readonly key: string;
  readonly backendId: string;
  readonly endpoint: Endpoint;
  readonly check: HealthCheck;
  readonly agent: Agent;
  readonly origin: string;
  timer: NodeJS.Timeout | undefined;
  isHealthy: boolean;
  /** Results in a row that speak against isHealthy. */
  contrary: number;
  readonly aborter: AbortController;
}

/**
 * Asks the endpoints of backends with a health check, each on its own interval and never twice at once. It runs in one
 * process of a proxy, so that the number of probes does not grow with the workers. Each probe has a connection of its
 * own: an endpoint that accepts no connection is as bad as one that answers 500.
 */
export class Prober {
  readonly #options: ProberOptions;
  readonly #backendsById = new Map<string, Backend>();
  readonly #rowsById = new Map<string, Endpoints>();
  /** Backend id → endpoint key → target. */
  readonly #targets = new Map<string, Map<string, Target>>();
  readonly #agents = new Map<string, Agent>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /**
   * Takes changed rows. An endpoint that stays, with the same check, keeps what is known of it. A backend whose CA
   * bundle changed must come again.
   */
  apply(change: ProberChange): void {
    const touched = new Set(change.backends.keys());
    for (const [id, row] of change.backends) {
      if (row === null) this.#backendsById.delete(id);
      else this.#backendsById.set(id, row);
    }
    for (const [id, row] of change.endpoints) {
      for (const backendId of this.#rowsById.get(id)?.backendIds ?? []) touched.add(backendId);
      for (const backendId of row?.backendIds ?? []) touched.add(backendId);
      if (row === null) this.#rowsById.delete(id);
      else this.#rowsById.set(id, row);
    }
    const endpointsByBackend = this.#endpointsOf(touched);
    for (const id of touched) this.#aim(id, endpointsByBackend.get(id) ?? []);
    this.#closeUnusedAgents();
  }

  /** What is out now, for a worker that has just begun. */
  unhealthy(): { key: string; backendId: string }[] {
    const out = [];
    for (const targets of this.#targets.values()) {
      for (const { key, backendId, isHealthy } of targets.values()) if (!isHealthy) out.push({ key, backendId });
    }
    return out;
  }

  /** Ends all probes; nothing is called back any more. */
  async close(): Promise<void> {
    for (const targets of this.#targets.values()) for (const target of targets.values()) stop(target);
    this.#targets.clear();
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #endpointsOf(backendIds: ReadonlySet<string>): Map<string, Endpoint[]> {
    const found = new Map<string, Endpoint[]>();
    for (const row of this.#rowsById.values()) {
      for (const id of row.backendIds) {
        if (!backendIds.has(id)) continue;
        const known = found.get(id);
        if (known === undefined) found.set(id, [...row.endpoints]);
        else known.push(...row.endpoints);
      }
    }
    return found;
  }

  #aim(backendId: string, endpoints: readonly Endpoint[]): void {
    const backend = this.#backendsById.get(backendId);
    const old = this.#targets.get(backendId) ?? new Map<string, Target>();
    const now = new Map<string, Target>();
    if (backend !== undefined && backend.healthCheck !== null) {
      const { healthCheck } = backend;
      const agent = this.#agentFor(backend);
      const scheme = backend.protocol === 'https' || backend.tls !== null ? 'https' : 'http';
      for (const endpoint of endpoints) {
        if (!endpoint.ready && !endpoint.serving) continue;
        const key = endpointKey(endpoint.address, endpoint.port);
        const known = old.get(key);
        const isSame = known?.endpoint.uid === endpoint.uid && known.agent === agent;
        if (now.has(key)) continue;
        if (known !== undefined && isSame && JSON.stringify(known.check) === JSON.stringify(healthCheck)) {
          now.set(key, known);
        } else {
          now.set(key, this.#begin(backendId, key, endpoint, healthCheck, agent, `${scheme}://${key}`));
        }
      }
    }
    for (const [key, target] of old) {
      if (now.get(key) === target) continue;
      stop(target);
      // Health belongs to the pod that was probed: whoever comes next at that address starts with a clean slate.
      if (!target.isHealthy) this.#options.onHealth(key, backendId, true);
    }
    if (now.size === 0) this.#targets.delete(backendId);
    else this.#targets.set(backendId, now);
  }

  #begin(backendId: string, key: string, endpoint: Endpoint, check: HealthCheck, agent: Agent, origin: string): Target {
    const aborter = new AbortController();
    const target: Target = {
      key,
      backendId,
      endpoint,
      check,
      agent,
      origin,
      timer: undefined,
      isHealthy: true,
      contrary: 0,
      aborter,
    };
    this.#schedule(target, check.intervalMs * this.#options.random());
    return target;
  }

  #schedule(target: Target, delayMs: number): void {
    target.timer = setTimeout(() => void this.#probe(target), delayMs);
    target.timer.unref();
  }

  async #probe(target: Target): Promise<void> {
    const isGood = await answersWell(target);
    if (target.aborter.signal.aborted) return;
    this.#judge(target, isGood);
    this.#schedule(target, target.check.intervalMs);
  }

  #judge(target: Target, isGood: boolean): void {
    if (isGood === target.isHealthy) {
      target.contrary = 0;
      return;
    }
    target.contrary++;
    if (target.contrary < (isGood ? target.check.healthyAfter : target.check.unhealthyAfter)) return;
    target.contrary = 0;
    target.isHealthy = isGood;
    this.#options.onHealth(target.key, target.backendId, isGood);
  }

  /** Backends that verify by the same bundle and name share an agent. */
  #agentFor(backend: Backend): Agent {
    const { tls } = backend;
    const ca = tls?.caSecretId == null ? null : this.#options.caPem(tls.caSecretId);
    const mustVerify = tls?.caSecretId != null;
    const serverName = tls?.serverName ?? '';
    const id = JSON.stringify([serverName, mustVerify, ca]);
    const known = this.#agents.get(id);
    if (known !== undefined) return known;
    const servername = isIP(serverName) === 0 ? serverName : '';
    const agent = new Agent({
      pipelining: 0,
      connect: { servername, rejectUnauthorized: mustVerify, ...(ca === null ? {} : { ca }) },
    });
    this.#agents.set(id, agent);
    return agent;
  }

  #closeUnusedAgents(): void {
    const used = new Set<Agent>();
    for (const targets of this.#targets.values()) for (const target of targets.values()) used.add(target.agent);
    for (const [id, agent] of this.#agents) {
      if (used.has(agent)) continue;
      this.#agents.delete(id);
      void agent.destroy();
    }
  }
}

/** One request. Whatever goes wrong with it, the answer is no. */
async function answersWell({ agent, origin, endpoint, check, aborter }: Target): Promise<boolean> {
  const { address } = endpoint;
  try {
    const response = await agent.request({
      origin,
      path: check.path,
      method: 'GET',
      headers: { host: check.host ?? (isIPv6(address) ? `[${address}]` : address), 'user-agent': 'sluice-probe' },
      reset: true,
      signal: AbortSignal.any([aborter.signal, AbortSignal.timeout(check.timeoutMs)]),
    });
    await response.body.dump({ limit: 64 * 1024 });
    const [lowest, highest] = check.expectedStatuses;
    return response.statusCode >= lowest && response.statusCode <= highest;
  } catch {
    return false;
  }
}

function stop(target: Target): void {
  clearTimeout(target.timer);
  target.aborter.abort();
}
