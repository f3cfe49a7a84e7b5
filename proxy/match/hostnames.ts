import type { Host } from '#table/listener.ts';
import { hashOf, type Indexed, TextIndex } from './textindex.ts';

/** What can be found by a name. */
interface Named {
  readonly host: Pick<Host, 'id' | 'hostname' | 'wildcard'>;
}

/** Kinds of names, which are the owners in the index. */
const exact = 0;
/** By `.example.com`; `*.` stands for exactly one label (Ingress). */
const oneLabel = 1;
/** By `.example.com`; `*.` stands for one label or more (Gateway API). */
const manyLabels = 2;
/** `*`, by no text. */
const every = 3;

/** Of several of one name the lowest id is in force. */
interface Claim<T> extends Indexed<Claim<T>> {
  readonly table: T;
}

/**
 * The host names of one listener, from the narrowest to the widest: the exact name, then wildcards by stripping labels from
 * the left, then the catch-all. Costs one lookup per label.
 */
export class HostNames<T extends Named> {
  readonly #index = new TextIndex<Claim<T>>();
  readonly #counts = [0, 0, 0, 0];
  #hasWildcards = false;

  add(table: T): void {
    const owner = kindOf(table.host);
    this.#index.add({ owner, keyAt: 0, keyEnd: 0, table, next: null, key: keyOf(table.host) }, isBefore);
    this.#count(owner, 1);
  }

  remove(table: T): void {
    const owner = kindOf(table.host);
    const left = this.#index.remove(owner, keyOf(table.host), (claim) => claim.table === table);
    if (left !== null) this.#count(owner, -1);
  }

  #count(kind: number, by: 1 | -1): void {
    this.#counts[kind] = (this.#counts[kind] as number) + by;
    this.#hasWildcards = (this.#counts[oneLabel] as number) + (this.#counts[manyLabels] as number) > 0;
  }

  isEmpty(): boolean {
    return this.#counts.every((count) => count === 0);
  }

  /** The narrowest table that covers a name (lower case, no port, no trailing dot; '' when the request has none). */
  first(hostname: string): T | undefined {
    return this.#find(exact, hostname) ?? this.#widerFrom(hostname, -1, 'one');
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
    if (this.#hasWildcards) {
      let isOneNext = from === 'one';
      const firstDot = hostname.indexOf('.');
      for (let dot = hostname.indexOf('.', after + 1); dot >= 0; dot = hostname.indexOf('.', dot + 1)) {
        const suffix = hostname.slice(dot);
        const one = isOneNext && dot === firstDot && dot > 0 ? this.#find(oneLabel, suffix) : undefined;
        isOneNext = true;
        const found = one ?? (dot > 0 ? this.#find(manyLabels, suffix) : undefined);
        if (found) return found;
      }
    }
    return this.#find(every, '');
  }

  #find(kind: number, name: string): T | undefined {
    return this.#index.find(kind, hashOf(name, name.length), name, name.length)?.table;
  }
}

function kindOf({ hostname, wildcard }: Named['host']): number {
  if (hostname === '*') return every;
  if (!hostname.startsWith('*.')) return exact;
  return wildcard === 'one' ? oneLabel : manyLabels;
}

function isBefore<T extends Named>(a: Claim<T>, b: Claim<T>): boolean {
  return a.table.host.id < b.table.host.id;
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

function keyOf({ hostname }: Named['host']): string {
  if (hostname === '*') return '';
  return hostname.startsWith('*.') ? hostname.slice(1) : hostname;
}
