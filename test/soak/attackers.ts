/** The attackers of hostile.ts, in a process of their own with the backend of their own that they ask. Told by messages. */
import { Attack } from '../kit/attack.ts';
import { largeBackend } from '../kit/attacked.ts';
import { attacks } from '../kit/attacks.ts';
import { floods } from '../kit/floods.ts';

export interface Order {
  /** Of attacks.ts or floods.ts; null: they stop. */
  readonly what: string | null;
  readonly port: number;
  readonly connections: number;
  readonly perSecond: number;
}

const backend = await largeBackend();
let attack: Attack | null = null;

process.on('message', ({ what, port, connections, perSecond }: Order) => {
  if (what === null) {
    attack?.stop();
    process.send?.({ connected: attack?.connected ?? 0, ended: attack?.ended ?? 0 });
    attack = null;
    return;
  }
  const options = attacks[what] ?? floods[what] ?? {};
  attack = Attack.start({ port, from: ['127.0.66.1', '127.0.66.2'], connections, perSecond, ...options });
});
process.on('disconnect', () => process.exit(0));
process.send?.({ port: backend.port });
