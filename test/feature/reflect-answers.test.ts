import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { afterEach, type TestContext, test } from 'node:test';
import { createProxyServer } from 'http-proxy-3';
import { type Cluster, openCluster } from '../../controller/watch/api.ts';
import { secretKind } from '../../controller/watch/kinds.ts';
import { Reflector } from '../../controller/watch/reflect.ts';
import { quiet } from '../kit/quiet.ts';
import { waitUntil } from '../kit/wait.ts';
import { service, watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

afterEach(() => rig.endWatchers());

/** A kubeconfig as the admin's, but for what it says of the cluster. */
async function kubeconfigWith(name: string, change: (cluster: object) => object): Promise<string> {
  const good = await rig.api.kubeconfig();
  const config = JSON.parse(await readFile(good, 'utf8')) as { clusters: { cluster: object }[] };
  for (const entry of config.clusters) entry.cluster = change(entry.cluster);
  await writeFile(`${good}.${name}`, JSON.stringify(config));
  return `${good}.${name}`;
}

test('a server of many clusters has each below a path', { skip, timeout: 60_000 }, async (t) => {
  const proxy = createProxyServer({ target: rig.api.url, secure: false });
  const front = createServer((request, response) => {
    const [, below] = /^\/k8s\/clusters\/c-1(\/.*)$/.exec(request.url ?? '') ?? [];
    if (below === undefined) return void response.writeHead(404).end();
    request.url = below;
    proxy.web(request, response);
  });
  t.after(() => front.close());
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  for (const end of ['', '/']) {
    const server = `http://127.0.0.1:${(front.address() as AddressInfo).port}/k8s/clusters/c-1${end}`;
    const kubeconfig = await kubeconfigWith('below', () => ({ server, 'insecure-skip-tls-verify': true }));
    const cluster = await openCluster({ kubeconfig });
    t.after(() => cluster.close());
    assert.equal((await cluster.call({ path: '/api/v1/namespaces?limit=1' })).status, 200);
  }
});

test('a page that somebody in front of the API server answers with is no list, and takes nothing away', {
  skip,
  timeout: 120_000,
}, async (t) => {
  await rig.api.apply(service('kept', 1));
  const proxy = createProxyServer({ target: rig.api.url, secure: false });
  let page: string | null = null;
  let asked = 0;
  const open = new Set<ServerResponse>();
  const front = createServer((request, response) => {
    open.add(response);
    if (page === null) return proxy.web(request, response);
    if (request.url?.startsWith('/api/v1/services?')) asked++;
    response.end(page);
  });
  const cluster = await clusterBehind(t, front, 'front');
  for (const [name, answer] of [
    ['new-1', '<html>Who are you?</html>'],
    ['new-2', '{"who": "are you?"}'],
  ] as const) {
    const watch = await rig.watchers.started({ cluster });
    asked = 0;
    page = answer;
    front.closeAllConnections();
    await waitUntil(() => asked === 3, 'what follows the first answers');
    // Nor does it say that a Secret is missing, or that a Lease is ours.
    await assert.rejects(cluster.call({ path: '/api/v1/secrets' }), /not that of an API server/);
    page = null;
    await rig.api.apply(service(name, 1));
    await waitUntil(() => watch.updates.at(-1)?.view.get('Service', `default/${name}`) !== undefined, 'the watch');
    assert.ok(!watch.taken().includes('default/kept'), answer);
    watch.source.stop();
  }
  // Of watches that have ended in order, too, it is noticed that nothing follows.
  for (const answer of ['<html>Who are you?</html>', '{"who": "are you?"}\n']) {
    const { source } = await rig.watchers.started({ cluster });
    page = answer;
    for (const response of open) response.on('error', () => {}).end();
    await waitUntil(() => source.state()['Service']?.failure !== null, 'that a page is no watch');
    source.stop();
    page = null;
  }
  await rig.api.delete(service('kept'), service('new-1'), service('new-2'));
});

/** A cluster whose API server is asked through somebody in front of it. */
async function clusterBehind(t: TestContext, front: Server, name: string): Promise<Cluster> {
  t.after(() => front.close());
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  const server = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  const kubeconfig = await kubeconfigWith(name, () => ({ server, 'insecure-skip-tls-verify': true }));
  const cluster = await openCluster({ kubeconfig });
  t.after(() => cluster.close());
  return cluster;
}

/** A reflector of Secrets with a page for each; the test says what is answered in the place of the API server. */
async function reflector(listed: () => void, change: (cluster: Cluster) => Partial<Cluster>): Promise<Reflector> {
  const secret = { kind: 'Secret', apiVersion: 'v1' };
  for (const name of ['page-1', 'page-2', 'page-3', 'page-4'])
    await rig.api.apply({ ...secret, metadata: { name, namespace: 'default' } });
  const cluster = await rig.watchers.cluster();
  return new Reflector({
    cluster: { ...cluster, ...change(cluster) },
    kind: { ...secretKind, pageSize: 1 },
    namespace: 'default',
    log: quiet,
    random: () => 0,
    sink: {
      isWanted: () => true,
      isNews: () => true,
      put: () => undefined,
      remove: () => undefined,
      seen: () => undefined,
      bookmarked: () => undefined,
      listed,
      refused: () => undefined,
    },
  });
}

const refusal = (status: number) => ({ status, body: { message: 'refused' }, retryAfterMs: null });

test('lists whose pages expire are not asked for without a pause', { skip, timeout: 60_000 }, async (t) => {
  const listsAtMs: number[] = [];
  let hasListed = false;
  const listed = () => {
    hasListed = true;
  };
  const expired = await reflector(listed, (cluster) => ({
    async call(call) {
      const isFirst = !call.path.includes('continue=');
      if (isFirst) listsAtMs.push(performance.now());
      return isFirst || !hasListed ? await cluster.call(call) : refusal(410);
    },
    stream: (_path, signal) => cluster.stream('/api/v1/no-such', signal),
  }));
  expired.start();
  t.after(() => expired.stop());
  await waitUntil(() => listsAtMs.length === 4, 'lists');
  const pausesMs = listsAtMs.slice(1).map((atMs, index) => atMs - (listsAtMs[index] ?? 0));
  assert.ok(
    pausesMs.every((ms) => ms > 700),
    `${pausesMs}`,
  );
});

test('an API server that cannot check who asks is no reason to list everything anew', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const cluster = await rig.watchers.cluster();
  const path = `${await rig.api.kubeconfig()}.stranger`;
  await writeFile(path, (await readFile(await rig.api.kubeconfig(), 'utf8')).replace('admin-of-the-test', 'nobody'));
  const stranger = await openCluster({ kubeconfig: path });
  t.after(() => stranger.close());
  const statuses: number[] = [];
  const watch = await rig.watchers.started({
    cluster: {
      ...cluster,
      call: (call) => cluster.call(call),
      async stream(at, ...rest) {
        if (!at.startsWith('/api/v1/services?') || statuses.length > 1) return await cluster.stream(at, ...rest);
        const answer = await stranger.stream(at, ...rest);
        statuses.push(answer.status);
        return answer;
      },
    },
  });
  await waitUntil(() => statuses.length > 1, 'refusals');
  await rig.api.apply(service('later'));
  await waitUntil(() => watch.updates.at(-1)?.view.get('Service', 'default/later') !== undefined, 'the Service');
  assert.deepEqual([statuses, watch.source.state()['Service']?.relists], [[401, 401], 0]);
});

test('a page that an API server is too busy for is asked for again, and not the list from its beginning', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const asked: string[] = [];
  let isListed = false;
  const listed = () => {
    isListed = true;
  };
  const busy = await reflector(listed, (cluster) => ({
    async call(call) {
      const page = new URLSearchParams(call.path.split('?')[1]).get('continue') ?? 'first';
      asked.push(page);
      return asked.length % 3 === 0 ? refusal(429) : await cluster.call(call);
    },
    stream: (path, signal) => cluster.stream(path, signal),
  }));
  busy.start();
  t.after(() => busy.stop());
  await waitUntil(() => isListed || asked.filter((page) => page === 'first').length > 2, 'the list');
  assert.equal(isListed, true);
  assert.equal(new Set(asked).size, asked.length - Math.floor(asked.length / 3));
});

test('however long somebody in front asks to stay away, a minute is the most', { skip, timeout: 60_000 }, async (t) => {
  const front = createServer((request, response) => {
    response.writeHead(503, { 'retry-after': request.url?.slice('/api/'.length) }).end('<html>Maintenance</html>');
  });
  const cluster = await clusterBehind(t, front, 'asked');
  for (const [asked, ms] of [
    ['1', 1_000],
    ['3600', 60_000],
    ['9999999999', 60_000],
    ['-1', null],
    ['soon', null],
  ] as const)
    assert.equal((await cluster.call({ path: `/api/${asked}` })).retryAfterMs, ms, asked);
});

test('an API server that only a proxy reaches is asked through it, and not for ever', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const tunnels: string[] = [];
  const proxy = createServer().on('connect', ({ url = '', headers }, near) => {
    tunnels.push(`${url} ${headers['proxy-authorization'] ?? ''}`);
    const far = connect(Number(url.split(':')[1]), '127.0.0.1');
    near.write('HTTP/1.1 200 OK\r\n\r\n');
    near
      .on('error', () => far.destroy())
      .on('close', () => far.destroy())
      .pipe(far);
    far
      .on('error', () => near.destroy())
      .on('close', () => near.destroy())
      .pipe(near);
  });
  t.after(() => proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const proxyUrl = `http://me:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const kubeconfig = await kubeconfigWith('proxied', (each) => ({ ...each, 'proxy-url': proxyUrl }));
  const cluster = await openCluster({ kubeconfig });
  t.after(() => cluster.close());
  const watch = await rig.watchers.started({ cluster });
  await rig.api.apply(service('behind'));
  await waitUntil(() => watch.updates.at(-1)?.view.get('Service', 'default/behind') !== undefined, 'the Service');
  const isOurs = (tunnel: string) => tunnel === `${new URL(rig.api.url).host} Basic ${btoa('me:secret')}`;
  assert.ok(tunnels.length > 0 && tunnels.every(isOurs), `${tunnels}`);
  watch.source.stop();
  const none = await kubeconfigWith('unproxied', (each) => ({ ...each, 'proxy-url': '' }));
  const straight = await openCluster({ kubeconfig: none });
  t.after(() => straight.close());
  const count = tunnels.length;
  assert.equal((await straight.call({ path: '/api/v1/namespaces' })).status, 200);
  assert.equal(tunnels.length, count);
  proxy.removeAllListeners('connect').on('connect', () => undefined);
  const another = await openCluster({ kubeconfig });
  t.after(() => another.close());
  await assert.rejects(another.call({ path: '/api/v1/namespaces' }), /Headers Timeout/);
});

test('a proxy of SOCKS is spoken to as such', { skip, timeout: 60_000 }, async (t) => {
  const { hostname, port } = new URL(rig.api.url);
  // RFC 1928: a method, a destination, and then both ways are open.
  const proxy = createTcpServer(async (near) => {
    near.on('error', () => undefined);
    await once(near, 'data');
    near.write(Buffer.from([5, 0]));
    await once(near, 'data');
    const far = connect(Number(port), hostname).on('error', () => near.destroy());
    near.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    near.on('close', () => far.destroy()).pipe(far);
    far.on('close', () => near.destroy()).pipe(near);
  });
  t.after(() => proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const proxyUrl = `socks5://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const way = { 'proxy-url': proxyUrl, 'tls-server-name': 'kubernetes' };
  const kubeconfig = await kubeconfigWith('socks', (each) => ({ ...each, ...way }));
  const cluster = await openCluster({ kubeconfig });
  t.after(() => cluster.close());
  assert.equal((await cluster.call({ path: '/api/v1/namespaces' })).status, 200);
});
