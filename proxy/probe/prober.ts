import { silentAfter } from '#kit/patience.ts';
import type { Backend, Endpoint, Endpoints } from '#table/backend.ts';
import type { HealthCheck } from '#table/resilience.ts';
import { isHttp2 } from '../forward/protocols.ts';
import { type TlsMaterial, tlsContent } from '../forward/tlsprofile.ts';
import { endpointKey } from '../select/endpoint.ts';
import { askOnce } from './ask.ts';
import { type Peer, tlsOf } from './peer.ts';

/** An endpoint's health for a backend has changed, by what it answered. */
export interface HealthChange {
  readonly key: string;
  readonly backendId: string;
  readonly isHealthy: boolean;
  /** Why it is not well; '' when it is. */
  readonly reason: string;
}

export interface ProberOptions {
  /** Every endpoint counts as healthy at first. Of one that is asked no more nothing is told: whoever has the same rows knows. */
  readonly onHealth: (change: HealthChange) => void;
  /** For endpoints that are asked over TLS. */
  readonly material: TlsMaterial;
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
  readonly peer: Peer;
  readonly check: HealthCheck;
  /** Equal texts: the same check of the same peer. */
  readonly mark: string;
  timer: NodeJS.Timeout | undefined;
  /** The probe that is under way. */
  aborter: AbortController | null;
  isHealthy: boolean;
  /** Results in a row that speak against isHealthy. */
  contrary: number;
  /** Probes that follow each other quickly, because nothing is known of the endpoint yet. */
  quickLeft: number;
}

/** How many probes of a new endpoint are quick, and how quick, ms: it must not take traffic for a whole interval unseen. */
const quickProbes = 10;
const quickMs = 1_000;
/**
 * Those that come together are asked for the first time this much apart on average, ms, as far as their intervals allow: the time
 * of a probe runs while all the others have their turn, and whoever was not heard for them would be out by its first answer.
 */
const apartMs = 2;
/** Intervals are up to so much shorter or longer, so that proxies do not ask together. */
const jitter = 0.1;
/** A timer that is to wait longer than this goes off at once. */
const mostTimerMs = 2 ** 31 - 1;

/**
 * Asks the endpoints of backends with a health check, each on its own interval and never twice at once. It runs in one
 * process of a proxy, so that the number of probes does not grow with the workers.
 *
 * What an endpoint answers first decides alone, in either direction: what starts broken is out at once, and what was never
 * seen healthy is in with its first good answer. From then on it takes a row of answers, so that one lost packet is nothing.
 */
export class Prober {
  readonly #options: ProberOptions;
  readonly #backendsById = new Map<string, Backend>();
  readonly #rowsById = new Map<string, Endpoints>();
  /** Backend id → endpoint key → target. */
  readonly #targets = new Map<string, Map<string, Target>>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /**
   * Takes changed rows. An endpoint that stays, with the same check, keeps what is known of it. A backend whose key
   * material changed must come again.
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
    const fresh: Target[] = [];
    for (const id of touched) this.#aim(id, endpointsByBackend.get(id) ?? [], fresh);
    const withinMs = Math.max(quickMs, fresh.length * apartMs);
    for (const target of fresh) {
      this.#schedule(target, Math.min(target.check.intervalMs, withinMs) * this.#options.random());
    }
  }

  /** What is out now, for a worker that has just begun. */
  unhealthy(): { key: string; backendId: string }[] {
    const out = [];
    for (const targets of this.#targets.values()) {
      for (const { key, backendId, isHealthy } of targets.values()) if (!isHealthy) out.push({ key, backendId });
    }
    return out;
  }

  /** How many endpoints of each backend are asked, and how many of them are healthy. */
  counts(): { backendId: string; probed: number; healthy: number }[] {
    return [...this.#targets].map(([backendId, targets]) => {
      const all = [...targets.values()];
      return { backendId, probed: all.length, healthy: all.filter(({ isHealthy }) => isHealthy).length };
    });
  }

  /** Ends all probes; nothing is called back any more. */
  close(): void {
    for (const targets of this.#targets.values()) for (const target of targets.values()) stop(target);
    this.#targets.clear();
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

  /** @param fresh takes those that are to be asked from now on */
  #aim(backendId: string, endpoints: readonly Endpoint[], fresh: Target[]): void {
    const backend = this.#backendsById.get(backendId);
    const old = this.#targets.get(backendId) ?? new Map<string, Target>();
    const now = new Map<string, Target>();
    const check = backend?.healthCheck ?? null;
    if (backend !== undefined && check !== null) {
      const { material } = this.#options;
      const tls = tlsOf(backend, material);
      const { protocol } = backend;
      const manner = {
        tls,
        isHttp2: isHttp2(protocol),
        isAlsoClear: protocol === 'same-as-client',
      };
      const sameForAll = JSON.stringify([check, protocol, backend.tls && tlsContent(backend.tls, material)]);
      for (const endpoint of endpoints) {
        const key = endpointKey(endpoint.address, endpoint.port);
        if ((!endpoint.ready && !endpoint.serving) || now.has(key)) continue;
        const mark = `${endpoint.uid} ${sameForAll}`;
        const known = old.get(key);
        if (known?.mark === mark) {
          now.set(key, known);
          continue;
        }
        // Who was out is not let in by another check, but by its first good answer to it; another pod starts with a clean slate.
        const isHealthy = known?.peer.endpoint.uid !== endpoint.uid || known.isHealthy;
        const peer = { endpoint, ...manner };
        const state = { timer: undefined, aborter: null, isHealthy, contrary: 0, quickLeft: quickProbes };
        const target: Target = { key, backendId, peer, check, mark, ...state };
        now.set(key, target);
        fresh.push(target);
      }
    }
    for (const [key, target] of old) if (now.get(key) !== target) stop(target);
    if (now.size === 0) this.#targets.delete(backendId);
    else this.#targets.set(backendId, now);
  }

  #schedule(target: Target, delayMs: number): void {
    target.timer = setTimeout(() => void this.#probe(target), Math.min(delayMs, mostTimerMs));
    target.timer.unref();
  }

  async #probe(target: Target): Promise<void> {
    const { peer, check } = target;
    const aborter = new AbortController();
    target.aborter = aborter;
    const heard = silentAfter(check.timeoutMs, () => aborter.abort());
    const fault = await askOnce(peer, check.probe, aborter.signal);
    heard();
    // Stopped meanwhile.
    if (target.aborter !== aborter) return;
    target.aborter = null;
    this.#judge(target, fault);
    const intervalMs = target.quickLeft > 0 ? Math.min(check.intervalMs, quickMs) : check.intervalMs;
    this.#schedule(target, intervalMs * (1 - jitter + 2 * jitter * this.#options.random()));
  }

  #judge(target: Target, fault: string | null): void {
    const { check } = target;
    const isGood = fault === null;
    const isUnsettled = target.quickLeft > 0;
    target.quickLeft = isGood ? 0 : Math.max(0, target.quickLeft - 1);
    if (isGood === target.isHealthy) {
      target.contrary = 0;
      return;
    }
    target.contrary++;
    if (!isUnsettled && target.contrary < (isGood ? check.healthyAfter : check.unhealthyAfter)) return;
    target.contrary = 0;
    target.isHealthy = isGood;
    const { key, backendId } = target;
    this.#options.onHealth({ key, backendId, isHealthy: isGood, reason: fault ?? '' });
  }
}

function stop(target: Target): void {
  clearTimeout(target.timer);
  const { aborter } = target;
  target.aborter = null;
  aborter?.abort();
}
