import type { Reply } from './reply.ts';

/** A BGP session, as BIRD tells it. */
export interface SessionState {
  /** As RFC 4271 §8.2.2 names them, and Passive, Down: `Established`. */
  readonly state: string;
  /** Since when, `2026-11-27 02:37:44.003`. */
  readonly since: string;
  /** '' when there was none. */
  readonly lastError: string;
  /** Routes that the peer was told, of all families. */
  readonly announced: number;
}

/** What of a reply begins a protocol, and what is said of it. */
const summaryCode = 1002;
const detailCode = 1006;
const bfdCode = 1020;

/** `show protocols all` → sessions by name of the protocol. */
export function sessionsOf({ lines }: Reply): Map<string, SessionState> {
  const sessions = new Map<string, SessionState>();
  let name = '';
  for (const { code, text } of lines) {
    if (code === summaryCode) {
      const [first = '', kind, , , date, time] = text.split(/\s+/);
      name = kind === 'BGP' ? first : '';
      if (name !== '') sessions.set(name, { state: '', since: `${date} ${time}`, lastError: '', announced: 0 });
    }
    const session = sessions.get(name);
    if (code !== detailCode || session === undefined) continue;
    const [, key, value = ''] = /^\s*([\w ]+):\s+(.*)$/.exec(text) ?? [];
    if (key === 'BGP state') sessions.set(name, { ...session, state: value });
    if (key === 'Last error') sessions.set(name, { ...session, lastError: value });
    if (key === 'Routes') {
      const announced = session.announced + Number(/(\d+) exported/.exec(value)?.[1] ?? 0);
      sessions.set(name, { ...session, announced });
    }
  }
  return sessions;
}

/** What pathsOf calls the path to a peer. @param on interface; null: whichever leads there */
export function pathTo(address: string, on: string | null): string {
  return on === null ? address : `${address}%${on}`;
}

/** `show bfd sessions` → state by path to the peer: `up`, `down`, `init`, `admindown`. One link-local address may be on many links. */
export function pathsOf({ lines }: Reply): Map<string, string> {
  const paths = new Map<string, string>();
  for (const { code, text } of lines) {
    const [address = '', on = '', state = ''] = text.trim().split(/\s+/);
    if (code !== bfdCode || !/^[\da-f.:]*[.:][\da-f.:]*\w$/i.test(address)) continue;
    for (const path of [pathTo(address, null), pathTo(address, on)]) paths.set(path, state.toLowerCase());
  }
  return paths;
}
