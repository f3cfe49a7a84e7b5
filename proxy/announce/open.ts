import { join } from 'node:path';
import type { Log } from '#kit/log.ts';
import { birdFolder } from '../speak/files.ts';
import { Speaker } from '../speak/speaker.ts';
import type { Announcer } from './announcer.ts';
import { Layer2 } from './layer2.ts';

export interface AnnounceOptions {
  /** Name of the node that this is. */
  readonly node: string;
  /** null while the rules are in force, else why not: what is announced then is a black hole. */
  unreadyReason(): string | null;
  /** Folder of what lives as long as the machine runs, beyond the agent. */
  readonly runDir: string;
  /** Whether the controllers are there to say what changes. */
  isPlanLive(): boolean;
  /** UDP port by which edges hear each other; the same on all nodes. */
  readonly heartbeatPort: number;
  /** How long the kernel keeps an address that is not renewed, 3 to 60 s. */
  readonly addressLifetimeS: number;
  readonly log: Log;
}

/** Every way of announcing that this build has. @throws when one cannot work at all; the message is for a person */
export async function openAnnouncers(options: AnnounceOptions): Promise<readonly Announcer[]> {
  const { node, runDir, log } = options;
  return [await Layer2.open(options), new Speaker({ node, dir: join(runDir, birdFolder), log })];
}
