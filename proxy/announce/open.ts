import type { Log } from '#kit/log.ts';
import type { Announcer } from './announcer.ts';

export interface AnnounceOptions {
  /** Name of the node that this is. */
  readonly node: string;
  /** null while the rules are in force, else why not: what is announced then is a black hole. */
  unreadyReason(): string | null;
  readonly log: Log;
}

/** Every way of announcing that this build has. @throws when one cannot work at all; the message is for a person */
export async function openAnnouncers(_options: AnnounceOptions): Promise<readonly Announcer[]> {
  return [];
}
