import type { Agent } from 'undici';
import type { Ack } from '#table/change.ts';
import type { Controller } from './controllers.ts';

/** The way to one controller that does not serve us. */
interface Way {
  /** Opened by the first message. */
  agent: Agent | null;
  isBusy: boolean;
  /** What became news while the last was under way; only the newest counts. */
  next: Ack | null;
}

export interface OtherControllersOptions {
  /** An agent that trusts controllers only. */
  openAgent(): Promise<Agent>;
  /** Rejects when the controller did not take it. */
  post(controller: Controller, agent: Agent, ack: Ack): Promise<void>;
  onFailure(controller: Controller, error: unknown): void;
}

/**
 * Tells the controllers that do not serve this proxy what it has applied. Best effort: what is lost is told again in a
 * few seconds. At most one message is under way to each, over one connection, however fast tables change.
 */
export class OtherControllers {
  readonly #options: OtherControllersOptions;
  readonly #ways = new Map<string, Way>();

  constructor(options: OtherControllersOptions) {
    this.#options = options;
  }

  /** Forgets controllers that are not among these. */
  async tell(controllers: readonly Controller[], ack: Ack): Promise<void> {
    const origins = new Set(controllers.map(({ origin }) => origin));
    for (const origin of this.#ways.keys()) if (!origins.has(origin)) this.#drop(origin);
    await Promise.all(controllers.map((controller) => this.#tellOne(controller, ack)));
  }

  close(): void {
    for (const origin of [...this.#ways.keys()]) this.#drop(origin);
  }

  async #tellOne(controller: Controller, ack: Ack): Promise<void> {
    const { openAgent, post, onFailure } = this.#options;
    const way = this.#ways.get(controller.origin) ?? { agent: null, isBusy: false, next: null };
    this.#ways.set(controller.origin, way);
    way.next = ack;
    if (way.isBusy) return;
    way.isBusy = true;
    try {
      way.agent ??= await openAgent();
      for (let next: Ack | null = way.next; next !== null; next = way.next) {
        way.next = null;
        await post(controller, way.agent, next);
      }
    } catch (error) {
      this.#drop(controller.origin);
      onFailure(controller, error);
    } finally {
      way.isBusy = false;
    }
  }

  #drop(origin: string): void {
    const way = this.#ways.get(origin);
    this.#ways.delete(origin);
    void way?.agent?.destroy();
  }
}
