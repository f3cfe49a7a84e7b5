import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Prober } from '../../proxy/forward/probe.ts';
import type { Backend, Endpoints } from '../../proxy/table/backend.ts';
import type { HealthCheck } from '../../proxy/table/resilience.ts';
import { endpointsRow, row } from '../kit/rows.ts';

test('an endpoint goes out after so many bad answers and comes back after so many good ones', async (t) => {
  const pod = await startPod(t);
  const { prober, next } = open(t);
  prober.apply(changeFor([pod.port], { unhealthyAfter: 3, healthyAfter: 2, host: 'app.example.com' }));
  const first = await pod.asked();
  assert.equal(first.url, '/healthz?deep=1');
  assert.equal(first.headers.host, 'app.example.com');
  pod.status = 500;
  const probesBefore = pod.count;
  assert.deepEqual(await next(), [`127.0.0.1:${pod.port}`, 'web', false]);
  assert.ok(pod.count - probesBefore >= 3, `${pod.count - probesBefore} probes`);
  assert.deepEqual(prober.unhealthy(), [{ key: `127.0.0.1:${pod.port}`, backendId: 'web' }]);
  pod.status = 204;
  assert.deepEqual(await next(), [`127.0.0.1:${pod.port}`, 'web', true]);
  assert.deepEqual(prober.unhealthy(), []);
});

test('an endpoint that refuses connections, and one that never answers, are out; a good one is not', async (t) => {
  const good = await startPod(t);
  const silent = await startPod(t);
  silent.status = 'silent';
  const gone = await startPod(t);
  await gone.stop();
  const { prober, next } = open(t);
  prober.apply(changeFor([good.port, silent.port, gone.port], { unhealthyAfter: 1, timeoutMs: 1000 }));
  const out = [await next(), await next()].map(([key]) => key).sort();
  assert.deepEqual(out, [`127.0.0.1:${silent.port}`, `127.0.0.1:${gone.port}`].sort());
  await good.asked();
});

test('a pod that takes over an address starts healthy', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  prober.apply(changeFor([pod.port], { unhealthyAfter: 1 }));
  assert.equal((await next())[2], false);
  pod.status = 200;
  prober.apply({ backends: new Map(), endpoints: changeFor([pod.port], {}, 'successor').endpoints });
  assert.deepEqual(await next(), [`127.0.0.1:${pod.port}`, 'web', true]);
});

test('rows that change nothing of the check keep what is known', async (t) => {
  const pod = await startPod(t);
  pod.status = 503;
  const { prober, next } = open(t);
  const change = changeFor([pod.port], { unhealthyAfter: 1 });
  prober.apply(change);
  await next();
  prober.apply(structuredClone(change));
  assert.equal(prober.unhealthy().length, 1);
  prober.apply({ backends: new Map([['web', null]]), endpoints: new Map() });
  assert.deepEqual(await next(), [`127.0.0.1:${pod.port}`, 'web', true]);
  assert.deepEqual(prober.unhealthy(), []);
});

type Told = [string, string, boolean];

function open(t: { after(callback: () => unknown): void }) {
  const told: Told[] = [];
  const waiting: ((told: Told) => void)[] = [];
  const prober = new Prober({
    onHealth: (...args) => {
      const waiter = waiting.shift();
      if (waiter) waiter(args);
      else told.push(args);
    },
    caPem: () => null,
    random: () => 0,
  });
  t.after(() => prober.close());
  const next = (): Promise<Told> => {
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
  const healthCheck: HealthCheck = {
    path: '/healthz?deep=1',
    host: null,
    intervalMs: 100,
    timeoutMs: 5000,
    unhealthyAfter: 2,
    healthyAfter: 1,
    expectedStatuses: [200, 299],
    ...check,
  };
  const backend = row('backend', { id: 'web', healthCheck }).row as Backend;
  const endpoints = endpointsRow(ports.map((port) => ({ address: '127.0.0.1', port, uid: `${uid}-${port}` })));
  const rowOfWeb = { ...endpoints.row, id: 'web', backendIds: ['web'] } as Endpoints;
  return { backends: new Map([['web', backend]]), endpoints: new Map([['web', rowOfWeb]]) };
}
