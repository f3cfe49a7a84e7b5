import { Writable } from 'node:stream';
import pino from 'pino';
import type { Fleet } from '../../proxy/main.ts';
import type { RedisSettings } from '../../proxy/share/redis.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { adminPage, fetchOnce, testFleet } from '../kit/fleet.ts';
import { Load } from '../kit/load.ts';
import { RedisServer } from '../kit/redis.ts';
import { Relay } from '../kit/relay.ts';
import { endpointsRow, plainTable, row, snapshot } from '../kit/rows.ts';
import { eventually } from '../kit/wait.ts';

/** Everything goes to one backend, which keeps clients by their address. */
export function stickyTable(
  endpoints: readonly { address: string; port: number }[],
  fleetKey: Buffer = Buffer.alloc(32, 7),
): Row[] {
  const others = plainTable([]).filter(({ kind }) => !['backend', 'endpoints', 'secret'].includes(kind));
  return [
    ...others,
    row('backend', { id: 'b', affinity: { type: 'client-ip', timeoutSeconds: 600 } }),
    endpointsRow(endpoints),
    row('secret', { id: 'fleet/affinity', value: fleetKey.toString('base64') }),
  ];
}

/** A Redis behind a wire, and proxies that share through it. All ends with `stop`, however far a test has come. */
export class ShareRig {
  readonly redis: RedisServer;
  readonly relay: Relay;
  readonly #proxies: SharingProxy[] = [];
  readonly #loads: Load[] = [];

  private constructor(redis: RedisServer) {
    this.redis = redis;
    this.relay = new Relay(redis.port);
  }

  /** Runs a test on a rig of its own. */
  static async run(body: (rig: ShareRig) => Promise<void>, redisArgs: readonly string[] = []): Promise<void> {
    const rig = new ShareRig(await RedisServer.start(redisArgs));
    try {
      await rig.relay.mend();
      await body(rig);
    } finally {
      await rig.#stop();
    }
  }

  /** The server as proxies reach it. */
  get url(): string {
    return `redis://127.0.0.1:${this.relay.port}`;
  }

  /** @param redis other settings than the rig's URL alone */
  async proxy(rows: readonly Row[], redis: Partial<RedisSettings> = {}): Promise<SharingProxy> {
    const proxy = await SharingProxy.start({ url: this.url, passwordFile: null, caFile: null, ...redis });
    this.#proxies.push(proxy);
    await proxy.apply(rows);
    return proxy;
  }

  /** Clients that come anew, whatever happens. */
  load(proxy: SharingProxy): Load {
    const load = Load.start({
      port: proxy.port,
      host: 'a.test',
      connections: 4,
      requestsPerSecond: 200,
      keepsAlive: false,
    });
    this.#loads.push(load);
    return load;
  }

  async #stop(): Promise<void> {
    this.redis.resume();
    for (const load of this.#loads) await load.stop();
    for (const proxy of this.#proxies) await proxy.stop();
    await this.relay.cut();
    await this.redis.stop();
  }
}

/** A proxy of two workers that shares what it remembers. */
export class SharingProxy {
  readonly #fleet: Fleet;
  readonly #lines: string[];

  private constructor(fleet: Fleet, lines: string[]) {
    this.#fleet = fleet;
    this.#lines = lines;
  }

  static async start(redis: RedisSettings): Promise<SharingProxy> {
    const lines: string[] = [];
    const kept = new Writable({
      write(bytes: Buffer, _encoding, done) {
        lines.push(bytes.toString());
        done();
      },
    });
    const log = pino({ level: 'debug' }, kept);
    const fleet = await testFleet({ workers: 2, log, redis });
    return new SharingProxy(fleet, lines);
  }

  get port(): number {
    return this.#fleet.ports().get('http') ?? 0;
  }

  get logged(): string {
    return this.#lines.join('');
  }

  async apply(rows: readonly Row[]): Promise<void> {
    const ack = await this.#fleet.apply(snapshot(rows));
    if (ack.type !== 'applied') throw new Error(JSON.stringify(ack));
  }

  /** Who answers a client. */
  ask(client: string): Promise<string> {
    return fetchOnce(this.port, '/', client);
  }

  async page(path: string): Promise<string> {
    return (await adminPage(this.#fleet, path)).text;
  }

  async figure(name: string): Promise<number> {
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(await this.page('/metrics'));
    if (found === null) throw new Error(`no metric ${name}`);
    return Number(found[1]);
  }

  isUp(): Promise<void> {
    return this.#reaches('sluice_share_up', (up) => up === 1);
  }

  async isDown(): Promise<void> {
    await this.hasFailed(1);
    await this.#reaches('sluice_share_up', (up) => up === 0);
  }

  hasFailed(count: number): Promise<void> {
    return this.#reaches('sluice_share_failures_total', (failures) => failures >= count);
  }

  async isReady(): Promise<void> {
    await eventually(async () => (this.#fleet.state().unreadyReason === null ? true : undefined), 'readiness');
  }

  hasTold(count: number): Promise<void> {
    return this.#reaches('sluice_share_told_total', (told) => told >= count);
  }

  /** The workers know it, too: a scrape asks them behind what they were told. */
  async hasHeard(count: number): Promise<void> {
    await this.#reaches('sluice_share_heard_total', (heard) => heard >= count);
    await this.page('/metrics');
  }

  stop(): Promise<void> {
    return this.#fleet.stop();
  }

  async #reaches(name: string, isReached: (value: number) => boolean): Promise<void> {
    await eventually(async () => (isReached(await this.figure(name)) ? true : undefined), `${name}; ${this.logged}`);
  }
}
