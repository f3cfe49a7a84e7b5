import type { Problem } from '#table/problem.ts';
import { namesOf } from './names.ts';
import type { Neighbour } from './peers.ts';
import { speakProblem } from './problems.ts';
import { pathTo, type SessionState } from './states.ts';

/** How the sessions with the peers were when they were last looked at. */
export class Sessions {
  #sessions: ReadonlyMap<string, SessionState> = new Map();
  /** By pathTo. */
  #paths: ReadonlyMap<string, string> = new Map();
  /** Protocols that were established since the agent looks. */
  readonly #wereUp = new Set<string>();

  note(sessions: ReadonlyMap<string, SessionState>, paths: ReadonlyMap<string, string>): void {
    this.#sessions = sessions;
    this.#paths = paths;
    for (const name of this.#wereUp) if (!sessions.has(name)) this.#wereUp.delete(name);
    for (const [name, { state }] of sessions) if (state === 'Established') this.#wereUp.add(name);
  }

  isUp({ row }: Neighbour): boolean {
    return this.#sessionOf(row.id)?.state === 'Established';
  }

  /** Of the way to the peer; null: it is not watched. */
  isPathUp({ row }: Neighbour): boolean | null {
    return row.bfd === null ? null : this.#pathOf(row) === 'up';
  }

  announcedTo({ row }: Neighbour): number {
    return this.#sessionOf(row.id)?.announced ?? 0;
  }

  statusOf(neighbour: Neighbour): { name: string; isUp: boolean; detail: string } {
    const { row } = neighbour;
    const session = this.#sessionOf(row.id);
    const path = row.bfd === null ? '' : `, BFD ${this.#pathOf(row)}`;
    const state = this.isUp(neighbour)
      ? `established since ${session?.since}, ${session?.announced} routes${path}`
      : `${this.#silenceOf(row.id)}${path}`;
    return { name: row.id, isUp: this.isUp(neighbour), detail: `${row.address} AS ${row.peerAsn}: ${state}` };
  }

  problemsOf(neighbour: Neighbour, node: string): Problem[] {
    const { row, password } = neighbour;
    const { id: peer, address } = row;
    if (!this.isUp(neighbour)) {
      const values = {
        node,
        peer,
        address,
        reason: this.#silenceOf(row.id),
        advice: adviceOf(row.port, password),
      };
      return [speakProblem('PeerNotEstablished', row.source, values)];
    }
    if (this.isPathUp(neighbour) !== false) return [];
    const state = this.#pathOf(row);
    return [speakProblem('PeerPathDown', row.source, { node, peer, address, state })];
  }

  #pathOf(row: Neighbour['row']): string {
    return this.#paths.get(pathTo(row.address, row.interface)) ?? 'down';
  }

  #silenceOf(peerId: string): string {
    const session = this.#sessionOf(peerId);
    if (session === undefined) return 'it has not begun';
    const since = this.#wereUp.has(namesOf(peerId).protocol) ? 'lost' : 'never established';
    return `${since}, now ${session.state}${session.lastError === '' ? '' : ` (${session.lastError})`}`;
  }

  #sessionOf(peerId: string): SessionState | undefined {
    return this.#sessions.get(namesOf(peerId).protocol);
  }
}

/** The kernel drops what carries another password, or none, without a word to either side (RFC 2385 §4.0). */
function adviceOf(port: number, password: string | null): string {
  return password === null
    ? `Compare addresses and AS numbers of both sides; TCP port ${port} must be open, and no password be set at the router.`
    : `A wrong password looks just like silence: compare it at both sides first, then addresses, AS numbers and TCP port ${port}.`;
}
