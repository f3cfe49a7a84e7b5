import type { Endpoint } from '#table/backend.ts';
import type { Delta } from '../receive/changes.ts';

/**
 * Rows of a change while its parts arrive. What comes over the channel is a text of its own each time, so names of zones and
 * nodes, which thousands of endpoints say alike, are kept once.
 */
export class Gathering {
  #upserts: Delta['upserts'] = [];
  #texts = new Map<string, string>();

  add(upserts: Delta['upserts']): void {
    for (const entry of upserts) {
      if (entry.kind !== 'endpoints') {
        this.#upserts.push(entry);
      } else {
        const endpoints = entry.row.endpoints.map((endpoint) => this.#lean(endpoint));
        this.#upserts.push({ kind: 'endpoints', row: { ...entry.row, endpoints } });
      }
    }
  }

  /** All of it; what comes from now on is another change. */
  take(): Delta['upserts'] {
    const upserts = this.#upserts;
    this.#upserts = [];
    this.#texts = new Map();
    return upserts;
  }

  #lean(endpoint: Endpoint): Endpoint {
    const { address, port, uid, ready, serving, terminating, weight } = endpoint;
    const zone = this.#once(endpoint.zone);
    const node = this.#once(endpoint.node);
    const forZones = endpoint.forZones.length === 0 ? noZones : endpoint.forZones;
    return { address, port, uid, zone, node, forZones, ready, serving, terminating, weight };
  }

  #once(text: string | null): string | null {
    if (text === null) return null;
    const known = this.#texts.get(text);
    if (known === undefined) this.#texts.set(text, text);
    return known ?? text;
  }
}

const noZones: string[] = [];
