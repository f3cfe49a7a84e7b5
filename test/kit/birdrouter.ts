import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Control } from '../../proxy/speak/control.ts';
import { type SessionState, sessionsOf } from '../../proxy/speak/states.ts';
import type { Netns } from './netns.ts';
import { eventually } from './wait.ts';

/** A route as a router has it. */
export interface RouterRoute {
  readonly prefix: string;
  /** Protocol that it was heard by. */
  readonly from: string;
  /** Since when, ms since 1970, which BIRD reckons anew each time: see isSameRoute. */
  readonly sinceMs: number;
  readonly nextHop: string;
  readonly communities: string;
  readonly largeCommunities: string;
  readonly localPreference: string;
}

/** Whether two times that BIRD tells are of one event: neither a route nor a session comes back so soon. */
function isSameMoment(one: number, other: number): boolean {
  return Math.abs(one - other) < 100;
}

/** Whether a session that is up has not been down since it was that one. */
export function isSameSession(one: SessionState, other: SessionState): boolean {
  return isSameMoment(Date.parse(one.since), Date.parse(other.since));
}

/** Whether a route is one that was there before and was not lost meanwhile: it would be back seconds later. */
export function isSameRoute(one: RouterRoute | undefined, other: RouterRoute | undefined): boolean {
  return one?.prefix === other?.prefix && isSameMoment(one?.sinceMs ?? 0, other?.sinceMs ?? 0);
}

/** A router of the network: a BIRD of its own in a namespace. */
export class BirdRouter {
  readonly netns: Netns;
  readonly #dir: string;
  readonly #child: ChildProcess;
  readonly #control: Control;

  private constructor(netns: Netns, dir: string, child: ChildProcess, control: Control) {
    this.netns = netns;
    this.#dir = dir;
    this.#child = child;
    this.#control = control;
  }

  /** @param protocols lines beside the router id and the device protocol */
  static async start(netns: Netns, routerId: string, protocols: string): Promise<BirdRouter> {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-router-'));
    writeFileSync(join(dir, 'bird.conf'), configurationOf(routerId, protocols));
    const [ip = '', ...args] = [...netns.entry, 'bird', '-f', '-c', 'bird.conf', '-s', 'bird.ctl', '-P', 'bird.pid'];
    const child = spawn(ip, args, { cwd: dir, stdio: ['ignore', 'inherit', 'inherit'] });
    const control = await eventually(
      () => Control.open(join(dir, 'bird.ctl')).catch(() => undefined),
      'the control socket of a router',
    );
    return new BirdRouter(netns, dir, child, control);
  }

  /** Other protocols from now on. */
  async configure(routerId: string, protocols: string): Promise<void> {
    writeFileSync(join(this.#dir, 'bird.conf'), configurationOf(routerId, protocols));
    const { code, lines } = await this.#control.ask('configure');
    if (code >= 8_000) throw new Error(lines.at(-1)?.text);
  }

  async has(prefix: string): Promise<boolean> {
    return (await this.#control.ask(`show route ${prefix}`)).code < 8_000;
  }

  async routes(): Promise<RouterRoute[]> {
    const { lines } = await this.#control.ask('show route all');
    const routes: RouterRoute[] = [];
    let prefix = '';
    for (const { text } of lines) {
      const [, net = '', from, since] = /^(\S*)\s+\w+ \[(\w+) ([\d:. -]+?)(?: from \S+)?\]/.exec(text) ?? [];
      if (from !== undefined && since !== undefined) {
        if (net !== '') prefix = net;
        const none = { nextHop: '', communities: '', largeCommunities: '', localPreference: '' };
        routes.push({ prefix, from, sinceMs: Date.parse(since), ...none });
      }
      const [, key = '', value = ''] = /^\s+BGP\.(\w+): (.*)$/.exec(text) ?? [];
      const field = attributes[key];
      const last = routes.pop();
      if (last !== undefined) routes.push(field === undefined ? last : { ...last, [field]: value.split(' fe80:')[0] });
    }
    return routes;
  }

  /** `203.0.113.1/32 172.30.0.1` for each route, in order: what there is, and by whom. */
  async hops(): Promise<string[]> {
    return (await this.routes()).map(({ prefix, nextHop }) => `${prefix} ${nextHop}`).sort();
  }

  async session(protocol: string): Promise<SessionState> {
    const session = sessionsOf(await this.#control.ask('show protocols all')).get(protocol);
    if (session === undefined) throw new Error(`the router has no ${protocol}`);
    return session;
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await gone;
    this.#control.close();
    rmSync(this.#dir, { recursive: true });
  }
}

const attributes: Readonly<Record<string, keyof RouterRoute>> = {
  next_hop: 'nextHop',
  community: 'communities',
  large_community: 'largeCommunities',
  local_pref: 'localPreference',
};

function configurationOf(routerId: string, protocols: string): string {
  return [
    'log stderr { error, fatal, bug };',
    'timeformat protocol iso long ms;',
    'timeformat route iso long ms;',
    `router id ${routerId};`,
    'protocol device { scan time 10; }',
    protocols,
    '',
  ].join('\n');
}
