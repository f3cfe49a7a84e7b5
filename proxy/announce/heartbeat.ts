import type { Log } from '#kit/log.ts';
import { type EdgePlan, heartbeatSecretId } from '#table/plan.ts';
import { familyOf } from '../edge/prefix.ts';
import { AwakeClock } from './awake.ts';
import { openBeat, sealBeat } from './beat.ts';
import { BeatSocket } from './beatsocket.ts';
import { type EdgePeer, Peers, type Self, silenceMs } from './peers.ts';

export interface HeartbeatOptions {
  readonly node: string;
  /** UDP, the same on all nodes. */
  readonly port: number;
  /** How often `tick` is called, ms. */
  readonly tickMs: number;
  /** Somebody said something that an election depends on. */
  onNews(): void;
  readonly log: Log;
}

/** What edges tell each other of themselves. Its clock stands still while the process does. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #peers: Peers;
  readonly #clock: AwakeClock;
  #socket: BeatSocket | null = null;
  #key: Buffer | null = null;
  #said = '';

  private constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#peers = new Peers(options.node);
    this.#clock = new AwakeClock(options.tickMs);
  }

  static async open(options: HeartbeatOptions): Promise<Heartbeat> {
    const heartbeat = new Heartbeat(options);
    const { port, log } = options;
    heartbeat.#socket = await BeatSocket.open({ port, onDatagram: (bytes) => heartbeat.#hear(bytes), log });
    return heartbeat;
  }

  /** Of the clock that others' silence is counted by. */
  get nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Why nobody is heard at all; null: one may be. */
  get failure(): string | null {
    if (this.#key === null) return 'the plan has no key for it';
    return this.#socket?.failure ?? null;
  }

  get peers(): readonly EdgePeer[] {
    return this.#peers.all();
  }

  /** Those that are heard and hear us, a moment ago. */
  linked(withinMs: number = silenceMs): EdgePeer[] {
    return this.#peers.linked(this.nowMs, withinMs);
  }

  /** Speaks with all that may announce; and with those that may not any more, while they are there to hand over. */
  follow(plan: EdgePlan): void {
    const key = plan.secret.get(heartbeatSecretId)?.value;
    this.#key = key === undefined ? null : Buffer.from(key, 'base64');
    const names = new Set(this.linked().map(({ node }) => node));
    for (const { layer2, nodes } of plan.announcement.values()) if (layer2) for (const node of nodes) names.add(node);
    names.delete(this.#options.node);
    const own = plan.node.get(this.#options.node)?.addresses ?? [];
    const addressOf = (name: string): string | null => {
      const addresses = plan.node.get(name)?.addresses ?? [];
      // A node of one family cannot speak with the other one of a node that has both.
      return addresses.find((each) => own.some((mine) => familyOf(mine) === familyOf(each))) ?? addresses[0] ?? null;
    };
    this.#peers.follow(new Map([...names].map((name) => [name, addressOf(name)])));
  }

  /** @returns for how long the process has stood still, ms */
  tick(): number {
    return this.#clock.tick();
  }

  /** Says it if it is time, or if it is news. */
  say(self: Self, isTime: boolean): void {
    const saying = JSON.stringify([self.grade, self.links, [...self.claims]]);
    if (!isTime && saying === this.#said) return;
    this.#said = saying;
    if (this.#key === null) return;
    for (const peer of this.#peers.all()) {
      if (peer.address === null) continue;
      for (const beat of this.#peers.beatsFor(peer, self, this.nowMs)) {
        this.#socket?.send(sealBeat(beat, this.#key), peer.address, this.#options.port);
      }
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  #hear(datagram: Buffer): void {
    const beat = this.#key === null ? null : openBeat(datagram, this.#key);
    if (beat !== null && this.#peers.take(beat, this.nowMs)) this.#options.onNews();
  }
}
