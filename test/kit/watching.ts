import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { Log } from '#kit/log.ts';
import { type Cluster, openCluster } from '../../controller/watch/api.ts';
import { type ClusterSource, watchCluster } from '../../controller/watch/cluster.ts';
import type { WatchedKind } from '../../controller/watch/kinds.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';
import { type ApiServer, type Manifest, startApiServer, type TestUser } from './apiserver.ts';
import { skipWithoutApiServer } from './assets.ts';
import { quiet } from './quiet.ts';
import { waitUntil } from './wait.ts';

export interface Watching {
  source: ClusterSource;
  updates: ViewUpdate[];
  /** Keys that have changed since the last time this was asked. */
  taken(): string[];
}

interface WatchingOptions {
  /** Another way to the API server than that of `user` and `url`. */
  cluster?: Cluster;
  user?: TestUser;
  /** Of a relay in between. */
  url?: string;
  namespaces?: string[];
  configMaps?: string[];
  kinds?: readonly WatchedKind[];
  doubtMs?: number;
  log?: Log;
}

/** Sources that follow one API server, all ended by `stop`. */
export class Watchers {
  readonly #api: ApiServer;
  readonly #stops: (() => unknown)[] = [];

  constructor(api: ApiServer) {
    this.#api = api;
  }

  async cluster(user: TestUser = 'admin', url = this.#api.url): Promise<Cluster> {
    const cluster = await openCluster({ kubeconfig: await this.#api.kubeconfig(user, url) });
    this.#stops.push(() => cluster.close());
    return cluster;
  }

  /** Watches; nothing has been listed yet. */
  async begin({
    cluster: given,
    user,
    url,
    namespaces = [],
    configMaps = [],
    kinds = [],
    doubtMs = 30_000,
    log = quiet,
  }: WatchingOptions = {}): Promise<Watching> {
    const updates: ViewUpdate[] = [];
    const cluster = given ?? (await this.cluster(user, url));
    const onUpdate = (update: ViewUpdate) => updates.push(update);
    const source = watchCluster({
      cluster,
      namespaces,
      kinds,
      doubtMs,
      ownNamespace: 'own',
      configMaps,
      log,
      onUpdate,
    });
    this.#stops.push(() => source.stop());
    let count = 0;
    const taken = () => {
      const news = updates.slice(count).flatMap(({ changes }) => changes.map(({ key }) => key));
      count = updates.length;
      return news;
    };
    return { source, updates, taken };
  }

  /** Watches, and has the first update, whose changes count as taken. */
  async started(options: WatchingOptions = {}): Promise<Watching> {
    const watch = await this.begin(options);
    await waitUntil(() => watch.updates.length > 0, 'the first update');
    watch.taken();
    return watch;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) await stop();
  }
}

/** For the tests of a file: an API server of their own, and watchers that end with the file at the latest. */
export async function watchedApi(): Promise<WatchedApi> {
  const skip = await skipWithoutApiServer();
  const api = skip ? null : await startApiServer();
  const rig = new WatchedApi(skip, api);
  after(() => rig.stop());
  return rig;
}

class WatchedApi {
  /** Why the tests cannot run here; false: they can. */
  readonly skip: string | false;
  readonly #api: ApiServer | null;
  readonly #watchers: Watchers | null;

  constructor(skip: string | false, api: ApiServer | null) {
    this.skip = skip;
    this.#api = api;
    this.#watchers = api && new Watchers(api);
  }

  get api(): ApiServer {
    assert.ok(this.#api);
    return this.#api;
  }

  get watchers(): Watchers {
    assert.ok(this.#watchers);
    return this.#watchers;
  }

  async endWatchers(): Promise<void> {
    await this.#watchers?.stop();
  }

  async stop(): Promise<void> {
    await this.endWatchers();
    await this.#api?.stop();
  }
}

export const service = (name: string, port = 80, namespace = 'default'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { ports: [{ port }] },
});
