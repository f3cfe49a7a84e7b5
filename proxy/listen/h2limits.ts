import { plainWindowBytes } from '../frame/codes.ts';
import type { SessionLimits } from '../frame/owner.ts';
import type { Limits } from './limits.ts';

const limitsByLimits = new WeakMap<Limits, SessionLimits>();

/** What a session of HTTP/2 with a client is held to; the same object for the same limits. */
export function sessionLimitsOf(limits: Limits): SessionLimits {
  const known = limitsByLimits.get(limits);
  if (known !== undefined) return known;
  const made: SessionLimits = {
    streams: limits.streams,
    section: { listBytes: limits.headBytes, fields: limits.headFields },
    streamWindowBytes: plainWindowBytes,
    mostStreamWindowBytes: limits.streamWindowBytes,
    connectionWindowBytes: limits.connectionWindowBytes,
  };
  limitsByLimits.set(limits, made);
  return made;
}
