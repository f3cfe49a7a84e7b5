/** What is known of one client network: an IPv4 address, or the /64 that an IPv6 subscriber has. */
export interface Source {
  readonly key: string;
  /** Open connections, those in a TLS handshake included. */
  connections: number;
  /** Of these, those past their handshake. */
  ready: number;
  /** The period that `fresh` counts. */
  period: number;
  /** Connections that it has opened, or tried to, in that period. */
  fresh: number;
  /** When it may open the next one if it keeps its rate to the letter, ms (GCRA); see Gate. */
  dueMs: number;
  /** When the rules that its clients have broken will be forgotten, ms. */
  forgivenMs: number;
  /** Until when it is known as one whose connections were ended for what they held, ms. */
  heavyUntilMs: number;
}

/**
 * Who is connected, and who has knocked a moment ago. A source is known from its first connection until none is left and
 * nothing is held against it, so the table is as small as the number of connections.
 */
export class Sources {
  readonly #byKey = new Map<string, Source>();
  /** Without a connection when they were last looked at. */
  #idle: Source[] = [];
  #period = 0;
  /** The most that one source has tried to open in this period. */
  mostFresh = 0;

  get size(): number {
    return this.#byKey.size;
  }

  /** Somebody knocks. */
  knock(address: string): Source {
    const key = sourceKeyOf(address);
    let source = this.#byKey.get(key);
    if (source === undefined) {
      source = {
        ...{ key, connections: 0, ready: 0, period: this.#period, fresh: 0 },
        ...{ dueMs: 0, forgivenMs: 0, heavyUntilMs: 0 },
      };
      this.#byKey.set(key, source);
      this.#idle.push(source);
    }
    if (source.period !== this.#period) {
      source.period = this.#period;
      source.fresh = 0;
    }
    source.fresh++;
    if (source.fresh > this.mostFresh) this.mostFresh = source.fresh;
    return source;
  }

  get(address: string): Source | undefined {
    return this.#byKey.get(sourceKeyOf(address));
  }

  /** A connection is gone. */
  left(source: Source): void {
    if (--source.connections === 0) this.#idle.push(source);
  }

  endPeriod(nowMs: number): void {
    this.#period++;
    this.mostFresh = 0;
    if (this.#idle.length === 0) return;
    const idle = new Set(this.#idle);
    this.#idle = [];
    for (const source of idle) {
      if (source.connections > 0) continue;
      if (Math.max(source.dueMs, source.forgivenMs, source.heavyUntilMs) > nowMs) this.#idle.push(source);
      else this.#byKey.delete(source.key);
    }
  }
}

/** IPv6 by its /64: a subscriber has at least that many addresses, and so would have that many allowances. */
export function sourceKeyOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':');
  if (tail === undefined) return groups.slice(0, 4).join(':');
  const rest = tail === '' ? [] : tail.split(':');
  const zeros = Math.max(0, 8 - (head === '' ? 0 : groups.length) - rest.length);
  const whole = [...(head === '' ? [] : groups), ...Array<string>(zeros).fill('0'), ...rest];
  return whole.slice(0, 4).join(':');
}
