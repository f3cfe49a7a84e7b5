import type { ObjectKey } from '../watch/view.ts';
import type { L4Ref } from './l4services.ts';

/** Service ports that ports of the gateway lead to unread, and which of them a Service touches. */
export class L4Index {
  #refs: readonly L4Ref[] = [];
  #refsByPort: ReadonlyMap<string, readonly L4Ref[]> = new Map();

  /** Takes all refs anew. @returns keys of the Service ports named before or now */
  replace(refs: readonly L4Ref[]): ReadonlySet<string> {
    const touched = new Set([...this.#refs, ...refs].map(({ portKey }) => portKey));
    this.#refs = refs;
    this.#refsByPort = Map.groupBy(refs, ({ portKey }) => portKey);
    return touched;
  }

  ofPort(portKey: string): readonly L4Ref[] {
    return this.#refsByPort.get(portKey) ?? [];
  }

  /** Few are named, so looking at each is cheap. */
  portsOf(service: ObjectKey): string[] {
    return this.#refs.filter(({ serviceKey }) => serviceKey === service).map(({ portKey }) => portKey);
  }
}
