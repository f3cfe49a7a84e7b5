import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { anyCertificate, TlsProfile } from '../../proxy/forward/tlsprofile.ts';
import { askOnce } from '../../proxy/probe/ask.ts';
import type { Peer } from '../../proxy/probe/peer.ts';
import { type HealthChange, Prober } from '../../proxy/probe/prober.ts';
import type { Backend, Endpoints } from '../../proxy/table/backend.ts';
import type { HealthCheck } from '../../proxy/table/resilience.ts';
import { Authority } from '../kit/authority.ts';
import { certificateFor } from '../kit/certificate.ts';
import { freePorts } from '../kit/ports.ts';
import { endpointsRow, plainEndpoint, plainHealthCheck, plainTls, row } from '../kit/rows.ts';

type HttpProbe = Extract<HealthCheck['probe'], { type: 'http' }>;

const httpProbe: HttpProbe = {
  type: 'http',
  method: 'GET',
  path: '/healthz?deep=1',
  host: null,
  expectedStatuses: [[200, 299]],
};

test('an endpoint goes out after so many bad answers and comes back after so many good ones', async (t) => {
  const pod = await startPod(t);
  const { prober, next } = open(t);
  const probe = { ...httpProbe, host: 'app.example.com' };
  prober.apply(changeFor([pod.port], { probe, unhealthyAfter: 3, healthyAfter: 2 }));
  const first = await pod.asked();
  assert.equal(first.method, 'GET');
  assert.equal(first.url, '/healthz?deep=1');
  assert.equal(first.headers.host, 'app.example.com');
  await pod.asked();
  pod.status = 500;
  const probesBefore = pod.count;
  const key = `127.0.0.1:${pod.port}`;
  assert.deepEqual(await next(), { key, backendId: 'web', isHealthy: false, reason: 'status 500' });
  assert.ok(pod.count - probesBefore >= 3, `${pod.count - probesBefore} probes`);
  assert.deepEqual(prober.unhealthy(), [{ key, backendId: 'web' }]);
  assert.deepEqual(prober.counts(), [{ backendId: 'web', probed: 1, healthy: 0 }]);
  pod.status = 204;
  const badProbes = pod.count;
  assert.deepEqual(await next(), { key, backendId: 'web', isHealthy: true, reason: '' });
  assert.ok(pod.count - badProbes >= 2, `${pod.count - badProbes} probes`);
  assert.deepEqual(prober.unhealthy(), []);
});

test('an answer that came in time is heard, however late this process comes to read it', async (t) => {
  const mayAnswer = new Int32Array(new SharedArrayBuffer(8));
  // On a thread of its own: it answers while this one is held up.
  const pod = new Worker(
    `const { createServer } = require('node:http');
    const { parentPort, workerData } = require('node:worker_threads');
    const server = createServer((request, response) => {
      parentPort.postMessage('asked');
      Atomics.wait(workerData, 0, 0);
      response.end('well', () => {
        Atomics.store(workerData, 1, 1);
        Atomics.notify(workerData, 1);
      });
    });
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: mayAnswer },
  );
  t.after(() => pod.terminate());
  const [port] = await once(pod, 'message');
  const { prober, next } = open(t);
  const changes: HealthChange[] = [];
  void next().then((change) => changes.push(change));
  const timeoutMs = 500;
  prober.apply(changeFor([port], { timeoutMs }));
  await once(pod, 'message');
  const askedMs = performance.now();
  Atomics.store(mayAnswer, 0, 1);
  Atomics.notify(mayAnswer, 0);
  Atomics.wait(mayAnswer, 1, 0);
  while (performance.now() < askedMs + 2 * timeoutMs);
  await once(pod, 'message');
  assert.deepEqual(changes, []);
});

test('what was never seen well is out with its first answer, and in with its first good one', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  prober.apply(changeFor([pod.port], { unhealthyAfter: 100, healthyAfter: 100 }));
  assert.equal((await next()).isHealthy, false);
  assert.equal(pod.count, 1);
  pod.status = 200;
  assert.equal((await next()).isHealthy, true);
});

test('an endpoint that refuses connections, and one that never answers, are out; a good one is not', async (t) => {
  const good = await startPod(t);
  const silent = await startPod(t);
  silent.status = 'silent';
  const [gone = 0] = await freePorts(1);
  const { prober, next } = open(t);
  prober.apply(changeFor([good.port, silent.port, gone], { timeoutMs: 1000 }));
  const reasons = new Map([await next(), await next()].map(({ key, reason }) => [key, reason]));
  assert.deepEqual(
    reasons,
    new Map([
      [`127.0.0.1:${gone}`, 'ECONNREFUSED'],
      [`127.0.0.1:${silent.port}`, 'no answer in time'],
    ]),
  );
  await good.asked();
});

test('method and statuses are those of the row', async (t) => {
  const pod = await startPod(t);
  const { prober, next } = open(t);
  const probe: HttpProbe = {
    ...httpProbe,
    method: 'HEAD',
    expectedStatuses: [
      [204, 204],
      [400, 418],
    ],
  };
  pod.status = 418;
  prober.apply(changeFor([pod.port], { probe }));
  assert.equal((await pod.asked()).method, 'HEAD');
  pod.status = 200;
  assert.equal((await next()).reason, 'status 200');
  pod.status = 204;
  assert.equal((await next()).isHealthy, true);
});

test('over TLS a probe names the server as requests do, whatever its Host is', async (t) => {
  const names: unknown[] = [];
  const server = createTlsServer(await certificateFor(['backend.test']), (_request, response) => response.end());
  server.on('secureConnection', ({ servername }) => names.push(servername));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const probe = { ...httpProbe, host: 'app.example.com' };
  for (const serverName of ['backend.test', null]) {
    const { backends, endpoints } = changeFor([port], { probe });
    const tls = { ...plainTls, serverName };
    const web = row('backend', { ...(backends.get('web') as Backend), protocol: 'https', tls }).row as Backend;
    const { prober } = open(t);
    prober.apply({ backends: new Map([['web', web]]), endpoints });
    const [request] = (await once(server, 'request')) as [IncomingMessage];
    assert.equal(request.headers.host, 'app.example.com');
    prober.close();
  }
  assert.deepEqual(names, ['backend.test', false]);
});

test('an endpoint that has requests as clients come, with TLS or without, is well if it answers either way', async (t) => {
  const pod = await startPod(t);
  const server = createTlsServer(await certificateFor(['backend.test']), (_request, response) => response.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { backends, endpoints } = changeFor([pod.port, port], {});
  const fields = { protocol: 'same-as-client', tls: plainTls } as const;
  const web = row('backend', { ...(backends.get('web') as Backend), ...fields }).row as Backend;
  const { prober, next } = open(t);
  const asked = [pod.asked(), once(server, 'request')];
  prober.apply({ backends: new Map([['web', web]]), endpoints });
  await Promise.all(asked);
  assert.deepEqual(prober.counts(), [{ backendId: 'web', probed: 2, healthy: 2 }]);
  pod.status = 500;
  assert.equal((await next()).reason, 'status 500');
});

test('a probe speaks TLS wherever requests do, also where the row says no more of it', async (t) => {
  const pair = await certificateFor(['backend.test']);
  const server = createSecureServer({ ...pair, allowHTTP1: true }, (_request, response) => response.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  for (const protocol of ['h2', 'https', 'same-as-client'] as const) {
    const { backends, endpoints } = changeFor([port], {});
    const web = row('backend', { ...(backends.get('web') as Backend), protocol, tls: null }).row as Backend;
    const { prober } = open(t);
    const asked = once(server, 'request');
    prober.apply({ backends: new Map([['web', web]]), endpoints });
    const [request] = (await asked) as [IncomingMessage];
    assert.equal(request.httpVersion, protocol === 'h2' ? '2.0' : '1.1');
    prober.close();
  }
});

test('a probe over TLS that is given up during the handshake is over', async (t) => {
  const silent = createTcpServer((socket) => void socket.on('error', () => {}).resume());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const good = await startPod(t);
  const peerAt = (port: number, tls: Peer['tls']): Peer => ({
    endpoint: { ...plainEndpoint, address: '127.0.0.1', port, uid: 'pod' },
    isHttp2: false,
    isAlsoClear: false,
    tls,
  });
  const aborter = new AbortController();
  let isOver = false;
  const { port } = silent.address() as AddressInfo;
  const asked = askOnce(peerAt(port, anyCertificate.options()), httpProbe, aborter.signal).then((fault) => {
    isOver = true;
    return fault;
  });
  const [socket] = (await once(silent, 'connection')) as [Socket];
  aborter.abort();
  // Others are asked and answer meanwhile.
  for (let count = 0; count < 20; count++) {
    assert.equal(await askOnce(peerAt(good.port, null), httpProbe, AbortSignal.timeout(60_000)), null);
  }
  assert.ok(isOver);
  assert.equal(await asked, 'no answer in time');
  if (!socket.closed) await once(socket, 'close');
  silent.close();
});

test('what an endpoint sends beside its certificate may be anything: Node dies of keys on some curves', async (t) => {
  const root = await Authority.root();
  const { cert, key } = await root.issue({ names: ['pod.test'] });
  const chain = `${cert}\n${await root.namesake('secp256k1')}`;
  const server = createSecureServer({ cert: chain, key, allowHTTP1: true }, (_request, response) => response.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const verify = { caSecretId: 'ca', names: ['pod.test'], depth: 1 };
  const material = { secret: () => root.cert, certificate: () => undefined };
  const tls = new TlsProfile({ ...plainTls, verify }, material).options();
  for (const isHttp2 of [false, true]) {
    const endpoint = { ...plainEndpoint, address: '127.0.0.1', port, uid: 'pod' };
    const asked = askOnce({ endpoint, isHttp2, isAlsoClear: false, tls }, httpProbe, AbortSignal.timeout(60_000));
    assert.equal(await asked, null);
  }
});

test('a probe of type tcp wants a connection and nothing more', async (t) => {
  let connections = 0;
  const server = createTcpServer((socket) => {
    connections++;
    socket.on('error', () => {}).resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.after(() => server.listening && server.close());
  const { prober, next } = open(t);
  prober.apply(changeFor([port], { probe: { type: 'tcp' }, unhealthyAfter: 2 }));
  await once(server, 'connection');
  await once(server, 'connection');
  server.close();
  assert.deepEqual(await next(), {
    key: `127.0.0.1:${port}`,
    backendId: 'web',
    isHealthy: false,
    reason: 'ECONNREFUSED',
  });
  assert.ok(connections >= 2);
});

test('a pod that takes over an address starts healthy; nothing is told of who is asked no more', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  prober.apply(changeFor([pod.port], {}));
  assert.equal((await next()).isHealthy, false);
  prober.apply({ backends: new Map(), endpoints: changeFor([pod.port], {}, 'successor').endpoints });
  assert.deepEqual(prober.unhealthy(), []);
  assert.equal((await next()).isHealthy, false);
});

test('who is out stays out while another check, of which it has not answered a probe, is in force', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  prober.apply(changeFor([pod.port], {}));
  assert.equal((await next()).isHealthy, false);
  prober.apply(changeFor([pod.port], { intervalMs: 200, healthyAfter: 100 }));
  assert.equal(prober.unhealthy().length, 1);
  await pod.asked();
  assert.equal(prober.unhealthy().length, 1);
  pod.status = 200;
  assert.equal((await next()).isHealthy, true);
  assert.ok(pod.count >= 3);
});

test('the longest interval is not one that a timer takes for none', async (t) => {
  const seldom = await startPod(t);
  const often = await startPod(t);
  const longest = open(t, () => 0.99).prober;
  longest.apply(changeFor([seldom.port], { intervalMs: 2_147_483_000 }));
  await seldom.asked();
  open(t).prober.apply(changeFor([often.port], {}));
  for (let count = 0; count < 3; count++) await often.asked();
  assert.equal(seldom.count, 1);
});

test('many that come together are asked for the first time a few at a time, and each within its interval', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let asked = 0;
  const count = () => asked++;
  subscribe('net.client.socket', count);
  t.after(() => unsubscribe('net.client.socket', count));
  const pods = Array.from({ length: 2000 }, (_, nth) => 10_000 + nth);
  const askedBy = (intervalMs: number, ms: number) => {
    let nth = 0;
    const { prober } = open(t, () => nth++ / pods.length);
    asked = 0;
    prober.apply(changeFor(pods, { probe: { type: 'tcp' }, intervalMs }));
    t.mock.timers.tick(ms);
    prober.close();
    return asked;
  };
  assert.equal(askedBy(10_000, 999), 500);
  assert.equal(askedBy(10_000, 4_000), 2000);
  assert.equal(askedBy(1_000, 1_000), 2000);
});

test('rows that change nothing of the check keep what is known', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  const change = changeFor([pod.port], {});
  prober.apply(change);
  await next();
  prober.apply(structuredClone(change));
  assert.equal(prober.unhealthy().length, 1);
  prober.apply({ backends: new Map([['web', null]]), endpoints: new Map() });
  assert.deepEqual(prober.unhealthy(), []);
  assert.deepEqual(prober.counts(), []);
  prober.apply(change);
  assert.equal((await next()).isHealthy, false);
});

function open(t: { after(callback: () => unknown): void }, random = () => 0) {
  const told: HealthChange[] = [];
  const waiting: ((told: HealthChange) => void)[] = [];
  const prober = new Prober({
    onHealth(change) {
      const waiter = waiting.shift();
      if (waiter) waiter(change);
      else told.push(change);
    },
    material: { secret: () => undefined, certificate: () => undefined },
    random,
  });
  t.after(() => prober.close());
  const next = (): Promise<HealthChange> => {
    const first = told.shift();
    return first ? Promise.resolve(first) : new Promise((resolve) => waiting.push(resolve));
  };
  return { prober, next };
}

async function startPod(t: { after(callback: () => unknown): void }) {
  const waiting: ((request: IncomingMessage) => void)[] = [];
  const pod = {
    status: 200 as number | 'silent',
    count: 0,
    port: 0,
    asked: () => new Promise<IncomingMessage>((resolve) => waiting.push(resolve)),
    stop: () => stopServer(server),
  };
  const server = createServer((request, response) => {
    pod.count++;
    if (pod.status !== 'silent') response.writeHead(pod.status).end();
    waiting.shift()?.(request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  pod.port = (server.address() as AddressInfo).port;
  t.after(pod.stop);
  return pod;
}

async function stopServer(server: Server): Promise<void> {
  if (!server.listening) return;
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

function changeFor(ports: readonly number[], check: Partial<HealthCheck>, uid = 'pod') {
  const usual = { probe: httpProbe, intervalMs: 100, timeoutMs: 5000 };
  const backend = row('backend', { id: 'web', healthCheck: { ...plainHealthCheck, ...usual, ...check } })
    .row as Backend;
  const endpoints = endpointsRow(ports.map((port) => ({ address: '127.0.0.1', port, uid: `${uid}-${port}` })));
  const rowOfWeb = { ...endpoints.row, id: 'web', backendIds: ['web'] } as Endpoints;
  return { backends: new Map([['web', backend]]), endpoints: new Map([['web', rowOfWeb]]) };
}
