import type { Commit } from '#table/change.ts';
import type { Problem } from '#table/problem.ts';

/**
 * Keeps this proxy from going back in time. Replicas of the controller lag behind each other by moments; a table is taken
 * only from a sender that has seen all that the table in force holds.
 *
 * The way out: an API server restored from a backup counts from the past for ever. A proxy that is told old tables for
 * `staleAcceptMs` without a pause believes them.
 */
export class TimeGuard {
  readonly #staleAcceptMs: number;
  #holds: Commit['holds'] = {};
  #behindSinceMs: number | null = null;

  constructor(staleAcceptMs: number) {
    this.#staleAcceptMs = staleAcceptMs;
  }

  /** A table came into force; from now on senders must have seen what it holds. */
  tookForce(holds: Commit['holds']): void {
    this.#holds = holds;
    this.#behindSinceMs = null;
  }

  /** @returns null when the batch may be taken, else why not. */
  refusal(commit: Commit, nowMs: number): Problem | null {
    const behind = kindsBehind(commit.seen, this.#holds);
    if (behind.length === 0) {
      this.#behindSinceMs = null;
      return null;
    }
    this.#behindSinceMs ??= nowMs;
    if (nowMs - this.#behindSinceMs >= this.#staleAcceptMs) return null;
    const [kind = ''] = behind;
    return {
      code: 'TableFromThePast',
      severity: 'warning',
      source: { kind, namespace: '', name: '' },
      message: `The sender has seen ${kind} up to ${seenOf(kind, commit.seen) ?? 'nothing'}; the table in force holds ${this.#holds[kind]}.`,
      hint: `A lagging controller catches up by itself. After ${this.#staleAcceptMs / 1000} s without one that is ahead, the table is taken.`,
    };
  }
}

/**
 * Kinds of which a sender has seen less than a table holds. Senders that read files count nothing: an empty `seen` passes. Who does
 * not count a part of a kind (`Ingress team`) by itself follows all of it by one watch, or has been told to leave the part out.
 */
export function kindsBehind(seen: Commit['seen'], holds: Commit['holds']): string[] {
  if (Object.keys(seen).length === 0) return [];
  return Object.keys(holds).filter((name) => (seenOf(name, seen) ?? -1) < (holds[name] ?? 0));
}

function seenOf(name: string, seen: Commit['seen']): number | undefined {
  return seen[name] ?? seen[name.split(' ', 1)[0] ?? ''];
}
