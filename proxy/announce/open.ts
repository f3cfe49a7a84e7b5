import { join } from 'node:path';
import type { Log } from '#kit/log.ts';
import { birdFolder } from '../speak/files.ts';
import { Speaker } from '../speak/speaker.ts';
import type { Announcer } from './announcer.ts';

export interface AnnounceOptions {
  /** Name of the node that this is. */
  readonly node: string;
  /** null while the rules are in force, else why not: what is announced then is a black hole. */
  unreadyReason(): string | null;
  /** Folder of what lives as long as the machine runs, beyond the agent. */
  readonly runDir: string;
  readonly log: Log;
}

/** Every way of announcing that this build has. @throws when one cannot work at all; the message is for a person */
export async function openAnnouncers({ node, runDir, log }: AnnounceOptions): Promise<readonly Announcer[]> {
  return [new Speaker({ node, dir: join(runDir, birdFolder), log })];
}
