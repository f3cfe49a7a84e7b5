import type { Host } from '#table/listener.ts';

/** What can be found by a name. */
interface Named {
  readonly host: Pick<Host, 'id' | 'hostname' | 'wildcard'>;
}

/**
 * The host names of one listener, from the narrowest to the widest: the exact name, then wildcards by stripping labels from
 * the left, then the catch-all. Costs one lookup per label.
 */
export class HostNames<T extends Named> {
  /** By name. Several of one name only if several rows claim it, and then the lowest id is in force. */
  readonly #exact = new Map<string, T[]>();
  /** By `.example.com`; `*.` stands for exactly one label (Ingress). */
  readonly #oneLabel = new Map<string, T[]>();
  /** By `.example.com`; `*.` stands for one label or more (Gateway API). */
  readonly #manyLabels = new Map<string, T[]>();
  readonly #every: T[] = [];

  add(table: T): void {
    const map = this.#mapFor(table.host);
    if (map === null) {
      claim(this.#every, table);
      return;
    }
    const key = keyOf(table.host);
    const claimants = map.get(key);
    if (claimants) claim(claimants, table);
    else map.set(key, [table]);
  }

  remove(table: T): void {
    const map = this.#mapFor(table.host);
    const key = keyOf(table.host);
    const claimants = map === null ? this.#every : map.get(key);
    const at = claimants?.indexOf(table) ?? -1;
    if (!claimants || at < 0) return;
    claimants.splice(at, 1);
    if (claimants.length === 0) map?.delete(key);
  }

  isEmpty(): boolean {
    return this.#exact.size + this.#oneLabel.size + this.#manyLabels.size + this.#every.length === 0;
  }

  /** The narrowest table that covers a name (lower case, no port, no trailing dot; '' when the request has none). */
  first(hostname: string): T | undefined {
    return this.#exact.get(hostname)?.[0] ?? this.#widerFrom(hostname, -1, 'one');
  }

  /** The next wider table after `table`, for a host that lets requests fall through. */
  wider(hostname: string, table: T): T | undefined {
    const { host } = table;
    if (host.hostname === '*') return undefined;
    if (!host.hostname.startsWith('*.')) return this.#widerFrom(hostname, -1, 'one');
    const dot = hostname.length - (host.hostname.length - 1);
    return host.wildcard === 'one' ? this.#widerFrom(hostname, dot - 1, 'many') : this.#widerFrom(hostname, dot, 'one');
  }

  /** @param after only wildcards whose dot is right of this position; `from`: which of two equal wildcards is next there */
  #widerFrom(hostname: string, after: number, from: 'one' | 'many'): T | undefined {
    if (this.#oneLabel.size + this.#manyLabels.size > 0) {
      let isOneNext = from === 'one';
      const firstDot = hostname.indexOf('.');
      for (let dot = hostname.indexOf('.', after + 1); dot >= 0; dot = hostname.indexOf('.', dot + 1)) {
        const suffix = hostname.slice(dot);
        const one = isOneNext && dot === firstDot && dot > 0 ? this.#oneLabel.get(suffix) : undefined;
        isOneNext = true;
        const found = one ?? (dot > 0 ? this.#manyLabels.get(suffix) : undefined);
        if (found) return found[0];
      }
    }
    return this.#every[0];
  }

  #mapFor(host: Named['host']): Map<string, T[]> | null {
    if (host.hostname === '*') return null;
    if (!host.hostname.startsWith('*.')) return this.#exact;
    return host.wildcard === 'one' ? this.#oneLabel : this.#manyLabels;
  }
}

/** Whether a name is found before another one that covers the same text. */
export function isNarrower(one: Pick<Host, 'hostname' | 'wildcard'>, other: typeof one): boolean {
  const [a, b] = [widthOf(one.hostname), widthOf(other.hostname)];
  if (a !== b) return a > b;
  return one.hostname.startsWith('*.') && one.wildcard === 'one' && other.wildcard === 'many';
}

/** The larger, the narrower: exact names, then wildcards by length, then `*`. */
function widthOf(hostname: string): number {
  if (hostname === '*') return 0;
  return hostname.startsWith('*.') ? hostname.length : Number.POSITIVE_INFINITY;
}

const keyOf = (host: Named['host']) => (host.hostname.startsWith('*.') ? host.hostname.slice(1) : host.hostname);

function claim<T extends Named>(claimants: T[], table: T): void {
  const at = claimants.findIndex((other) => table.host.id < other.host.id);
  claimants.splice(at < 0 ? claimants.length : at, 0, table);
}
