import type { Endpoint } from '#table/backend.ts';
import type { Outlier } from '#table/resilience.ts';
import { hashText } from './hash.ts';
import {
  countResult,
  type Ejection,
  type EjectionReason,
  eject,
  endEjection,
  isWellAgain,
  noEjection,
  reasonToEject,
} from './outlier.ts';
import type { BackendState, EndpointState, Pick, TryOutcome } from './types.ts';

/** Time after which an old latency counts 1/e. */
const latencyDecayMs = 10_000;
/** A failed try counts as at least this slow: one that refuses at once must not look like the fastest of all. */
const failureLatencyMs = 1_000;

/** A backend that uses an endpoint, as the endpoint sees it. */
export interface EndpointUser extends BackendState {
  readonly id: string;
  readonly outlier: Outlier;
  /** The endpoint was ejected: who can be chosen must be worked out again. */
  invalidate(): void;
  /** Whether requests go to it now. */
  uses(endpoint: LiveEndpoint, nowMs: number): boolean;
}

/** An endpoint is to be left out, by the limits of a backend, for so long. */
export interface EjectionWord {
  /** Whether that backend goes without it; else it has too few others, or as many are out as may be. */
  readonly isLeftOut: boolean;
  readonly key: string;
  readonly backendId: string;
  readonly reason: EjectionReason;
  readonly forMs: number;
}

/** What a worker knows of an endpoint, for people. */
export interface EndpointLook {
  readonly key: string;
  readonly inFlight: number;
  /** As it counts now; null before the first answer. */
  readonly latencyMs: number | null;
  /** Tries that have ended with a result, and those of them that failed. */
  readonly results: number;
  readonly failures: number;
  /** How long it is still left out for what it did; 0: it is not, or the backend does so with as many as it may. */
  readonly leftOutMs: number;
}

/** Key of an endpoint: `address:port`, `[address]:port` for IPv6. */
export function endpointKey(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What a worker knows of one address and port, whichever backends and routes use it. */
export class LiveEndpoint implements EndpointState {
  readonly key: string;
  /** Hash of the key, for rendezvous. */
  readonly keyHash: number;
  readonly address: string;
  readonly port: number;
  endpoint: Endpoint;
  /** Of the pod in each row that names it; most often one. */
  readonly #uids: string[];
  inFlight = 0;
  /** Peak-sensitive moving average of the time until the response head, as of latencyAtMs; -1 before the first answer. */
  latencyMs = -1;
  latencyAtMs = 0;
  /** Tries that have ended with a result, and those of them that failed: a 5xx or no answer. */
  results = 0;
  failures = 0;
  readonly ejection: Ejection = noEjection();
  /** Most often one: a Set of it weighs more than all the rest. */
  #users: EndpointUser[] = [];
  /** Name of the endpoint in cookies, and what it was computed of (sticky.ts): signing thousands again at each change would hold up traffic. */
  token: { readonly text: string; readonly uid: string; readonly key: Uint8Array } | null = null;
  /** The answer for a pick without a cookie. Never changes, so every request may hold the same one. */
  readonly plainPick: Pick;
  readonly #onEject: (word: EjectionWord) => void;

  constructor(key: string, endpoint: Endpoint, onEject: (word: EjectionWord) => void) {
    this.key = key;
    this.#onEject = onEject;
    this.keyHash = hashText(key, 4);
    this.address = endpoint.address;
    this.port = endpoint.port;
    this.endpoint = endpoint;
    this.#uids = [endpoint.uid];
    this.plainPick = { endpoint: this, setCookie: null };
  }

  /**
   * A row names it. A uid that is in no other row is of another pod behind a reused address: what the old one did is not held
   * against it. Two rows that disagree for long (a Service's, and one that was written by hand) forget nothing at their changes.
   */
  namedBy(endpoint: Endpoint): void {
    const { uid } = endpoint;
    if (uid !== this.endpoint.uid && !this.#uids.includes(uid)) {
      this.latencyMs = -1;
      Object.assign(this.ejection, noEjection());
    }
    this.#uids.push(uid);
    this.endpoint = endpoint;
  }

  /** A row that named it does so no more. */
  droppedBy({ uid }: Endpoint): void {
    this.#uids.splice(this.#uids.indexOf(uid), 1);
  }

  get isGone(): boolean {
    return this.#uids.length === 0;
  }

  isOf(backend: BackendState): boolean {
    return this.#users.some((user) => user === backend);
  }

  usedBy(user: EndpointUser): void {
    if (this.#users.length === 0) this.#users = [user];
    else if (!this.#users.includes(user)) this.#users.push(user);
  }

  leftBy(user: EndpointUser): void {
    const at = this.#users.indexOf(user);
    if (at === -1) return;
    const last = this.#users.pop() as EndpointUser;
    if (last !== user) this.#users[at] = last;
  }

  started(): void {
    this.inFlight++;
  }

  finished(outcome: TryOutcome): void {
    if (this.inFlight > 0) this.inFlight--;
    this.answered(outcome);
  }

  answered(outcome: TryOutcome): void {
    const { result, startedMs, latencyMs, nowMs } = outcome;
    if (result === 'abandoned') {
      // It says nothing but that the answer takes at least so long; no time at all says nothing, and is no latency to be chosen by.
      if (latencyMs > Math.max(0, this.latencyAt(nowMs))) this.#measure(latencyMs, nowMs);
      return;
    }
    const isUnanswered = result !== 'success' && result !== 'server-error';
    this.#measure(isUnanswered ? Math.max(latencyMs, failureLatencyMs) : latencyMs, nowMs);
    this.results++;
    if (result !== 'success') this.failures++;
    const isSentWhileOut = nowMs < this.ejection.untilMs && startedMs > this.ejection.sinceMs;
    if (isSentWhileOut && isWellAgain(this.ejection, result === 'success')) this.readmit(nowMs);
    if (!countResult(this.ejection, result, nowMs)) return;
    for (const user of this.#users) {
      const reason = reasonToEject(this.ejection, user.outlier);
      if (reason === null) continue;
      this.eject(user, reason, nowMs);
      this.tellOfEjection(user, reason, nowMs);
      return;
    }
  }

  /** Leaves it out for all backends that use it, by the limits of one. */
  eject({ outlier }: EndpointUser, reason: EjectionReason, nowMs: number): void {
    const judgedMs = reason === 'success-rate' ? (outlier.successRate?.intervalMs ?? 0) : 0;
    eject(this.ejection, outlier, nowMs - judgedMs, nowMs);
    // One answer ends a row of failures, and says nothing of a rate.
    this.ejection.sinceMs = reason === 'success-rate' ? Number.POSITIVE_INFINITY : nowMs;
    for (const user of this.#users) user.invalidate();
  }

  /** When all are ejected that are so in the same moment: who of them is left out is decided among them. */
  tellOfEjection(user: EndpointUser, reason: EjectionReason, nowMs: number): void {
    const isLeftOut = !user.uses(this, nowMs);
    // The sum of a fraction and whole ms, less the fraction, may be a billionth less than these.
    const forMs = Math.round(this.ejection.untilMs - nowMs);
    this.#onEject({ key: this.key, backendId: user.id, reason, forMs, isLeftOut });
  }

  /** A probe found it well again, or a request did that had no other to go to. */
  readmit(nowMs: number): void {
    if (nowMs >= this.ejection.untilMs) return;
    endEjection(this.ejection, nowMs);
    for (const user of this.#users) user.invalidate();
  }

  /** The average as it counts now: without news it fades, so that a slow endpoint gets another chance. */
  latencyAt(nowMs: number): number {
    return this.latencyMs * Math.exp(-Math.max(0, nowMs - this.latencyAtMs) / latencyDecayMs);
  }

  look(nowMs: number): EndpointLook {
    const { key, inFlight, results, failures, ejection } = this;
    const latencyMs = this.latencyMs < 0 ? null : Math.round(this.latencyAt(nowMs) * 1_000) / 1_000;
    return { key, inFlight, latencyMs, results, failures, leftOutMs: Math.max(0, ejection.untilMs - nowMs) };
  }

  #measure(sampleMs: number, nowMs: number): void {
    if (sampleMs > this.latencyMs) {
      // Peak: a slow answer counts in full at once, and is forgotten slowly (Finagle's peak EWMA).
      this.latencyMs = sampleMs;
    } else {
      const old = Math.exp(-Math.max(0, nowMs - this.latencyAtMs) / latencyDecayMs);
      this.latencyMs = this.latencyMs * old + sampleMs * (1 - old);
    }
    this.latencyAtMs = nowMs;
  }
}
