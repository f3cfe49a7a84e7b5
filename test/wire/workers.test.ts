import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { certificateFor } from '../kit/certificate.ts';
import { download, startFlowBackend } from '../kit/flow.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, service, tlsSecret } from '../kit/manifests.ts';
import { childrenOf } from '../kit/procfs.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil, within } from '../kit/wait.ts';

const backends: Recorder[] = [];
let flow: Server;

before(async () => {
  for (const name of ['a', 'b', 'c']) {
    backends.push(await Recorder.start({ onRequest: (request) => answer(request, name) }));
  }
  flow = await startFlowBackend();
});

after(async () => {
  for (const backend of backends) await backend.stop();
  flow?.close();
});

function ports(count: number): number[] {
  return backends.slice(0, count).map((backend) => backend.port);
}

function site(count: number, annotations: Record<string, string> = {}): Manifest[] {
  return [
    ingressClass(),
    ingress({ name: 'site', host: 'gw.test', paths: { '/': 'site' }, annotations }),
    ...service('site', ports(count)),
  ];
}

/** Clients whose requests wait in the backend until they are answered by `release`. */
async function hold(port: number, count: number): Promise<{ clients: RawClient[]; release: () => void }> {
  const held: RecordedRequest[] = [];
  const [backend] = backends;
  assert.ok(backend);
  const usual = backend.onRequest;
  backend.onRequest = (request) => {
    if (request.target === '/held') held.push(request);
    else usual(request);
  };
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.open({ port })));
  for (const client of clients) client.send(get('/held', 'gw.test'));
  await waitUntil(() => held.length === count, 'all held requests to reach the backend');
  const release = () => {
    backend.onRequest = usual;
    for (const request of held) answer(request, 'released');
  };
  return { clients, release };
}

test('a killed worker loses only its own requests, and new connections wait for the next one', async (context) => {
  const sluice = await Standalone.start({ manifests: site(1), workers: 2 });
  context.after(() => sluice.discard());
  const { clients, release } = await hold(sluice.httpPort, 24);
  const newcomers = Load.start({
    port: sluice.httpPort,
    host: 'gw.test',
    connections: 4,
    requestsPerSecond: 200,
    keepsAlive: false,
  });
  context.after(() => newcomers.stop());
  await waitUntil(() => newcomers.report.answered > 50, 'some traffic');
  const [victim = 0] = childrenOf(sluice.process.pid);
  process.kill(victim, 'SIGKILL');
  await waitUntil(() => {
    const now = childrenOf(sluice.process.pid);
    return now.length === 2 && !now.includes(victim);
  }, 'a new worker');
  // The first successor comes at once.
  await sluice.process.printed(/"waitMs":0,"msg":"worker ended"/);
  const answered = newcomers.report.answered;
  await waitUntil(() => newcomers.report.answered > answered + 200, 'traffic after that');
  const report = await newcomers.stop();
  context.diagnostic(`longest wait of a new connection: ${report.slowestMs.toFixed(0)} ms`);
  // At most what each loop had in flight in that worker at that moment.
  assert.ok(report.failures.length <= 4, report.failures.join('\n'));
  const lost = clients.filter((client) => client.isDone).length;
  assert.ok(lost > 0 && lost < clients.length, `${lost} of ${clients.length} were in the killed worker`);
  release();
  for (const client of clients.filter((candidate) => !candidate.isDone)) {
    assert.equal((await client.response()).body.toString(), 'released');
    client.destroy();
  }
});

test('SIGTERM lets everything in flight finish, a long download included, and then the process goes', async (context) => {
  const sluice = await Standalone.start({
    manifests: [
      ...site(1),
      ingress({ name: 'flow', host: 'flow.test', paths: { '/': 'flow' } }),
      ...service('flow', [(flow.address() as AddressInfo).port]),
    ],
    workers: 2,
  });
  context.after(() => sluice.discard());
  const { clients, release } = await hold(sluice.httpPort, 10);
  const idle = await RawClient.open({ port: sluice.httpPort });
  idle.send(get('/', 'gw.test'));
  await idle.response();
  const bytes = 64 << 20;
  const paused = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const long = download({ port: sluice.httpPort, host: 'flow.test' }, bytes, {
    atBytes: 1 << 20,
    resume() {
      paused.resolve();
      return goOn.promise;
    },
  });
  await paused.promise;
  sluice.process.signal('SIGTERM');
  await idle.closed();
  release();
  for (const client of clients) {
    const response = await client.response();
    assert.equal(response.body.toString(), 'released');
    assert.equal(fieldValue(response, 'connection')?.toLowerCase(), 'close');
    await client.closed();
  }
  goOn.resolve();
  assert.deepEqual(await long, { bytes, isIntact: true });
  assert.deepEqual(await sluice.process.ended(), { code: 0, signal: null });
});

test('an endpoint that goes finishes what it has, and its idle connections are closed', async (context) => {
  const sluice = await Standalone.start({ manifests: site(1), workers: 1 });
  context.after(() => sluice.stop());
  const [gone] = backends as [Recorder];
  const idle = await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
  assert.equal(idle.body.toString(), 'a');
  const { clients, release } = await hold(sluice.httpPort, 4);
  // The others are busy.
  await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
  const open = gone.connections.filter((connection) => !connection.isClosed);
  assert.equal(open.length, 5);
  await sluice.apply([...site(0).slice(0, 2), ...service('site', [backends[1]?.port ?? 0])]);
  const next = await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
  assert.equal(next.body.toString(), 'b');
  await waitUntil(() => open.filter(({ isEnded }) => isEnded).length === 1, 'the idle connection to be closed');
  release();
  for (const client of clients) {
    assert.equal((await client.response()).body.toString(), 'released');
    client.destroy();
  }
  await waitUntil(() => open.every((connection) => connection.isEnded), 'its connections to be closed');
});

test('SIGTERM does not wait for WebSockets longer than its grace', async (context) => {
  const echo = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  context.after(() => echo.close());
  await once(echo, 'listening');
  const manifests = [
    ingressClass(),
    ingress({ name: 'ws', host: 'ws.test', paths: { '/': 'ws' } }),
    ...service('ws', [(echo.address() as AddressInfo).port]),
  ];
  const sluice = await Standalone.start({ manifests, args: ['--drain-grace', '500ms'] });
  context.after(() => sluice.discard());
  const peer = new WebSocket(`ws://127.0.0.1:${sluice.httpPort}/`, { headers: { host: 'ws.test' } });
  await within(once(peer, 'open'), 'the WebSocket to open');
  sluice.process.signal('SIGTERM');
  await within(once(peer, 'close'), 'the WebSocket to close');
  assert.deepEqual(await sluice.process.ended(), { code: 0, signal: null });
});

test('a certificate is swapped without a failed request, and open connections keep theirs', async (context) => {
  const certificates = [
    await certificateFor(['gw.test', 'first.test']),
    await certificateFor(['gw.test', 'second.test']),
  ];
  const manifests = (index: number): Manifest[] => [
    ...site(1).slice(0, 1),
    ingress({ name: 'site', host: 'gw.test', paths: { '/': 'site' }, tlsSecret: 'cert' }),
    ...service('site', ports(1)),
    ...certificates.slice(index, index + 1).map((pair) => tlsSecret('cert', pair)),
  ];
  const sluice = await Standalone.start({ manifests: manifests(0), workers: 2 });
  context.after(() => sluice.stop());
  const tls = { servername: 'gw.test' };
  const old = await RawClient.open({ port: sluice.httpsPort, tls });
  const kept = Load.start({
    port: sluice.httpsPort,
    host: 'gw.test',
    connections: 4,
    requestsPerSecond: 200,
    isTls: true,
  });
  const fresh = Load.start({
    port: sluice.httpsPort,
    host: 'gw.test',
    connections: 2,
    requestsPerSecond: 40,
    isTls: true,
    keepsAlive: false,
  });
  for (let round = 1; round <= 10; round++) {
    await sluice.apply(manifests(round % 2));
    const client = await RawClient.open({ port: sluice.httpsPort, tls });
    const name = round % 2 === 1 ? 'second.test' : 'first.test';
    assert.match((client.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '', new RegExp(name));
    client.destroy();
  }
  old.send(get('/', 'gw.test'));
  assert.equal((await old.response()).body.toString(), 'a');
  assert.match((old.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '', /first\.test/);
  old.destroy();
  assert.deepEqual((await kept.stop()).failures, []);
  assert.deepEqual((await fresh.stop()).failures, []);
});

test('a cookie keeps its client on one endpoint, whichever worker takes the connection', async (context) => {
  const sluice = await Standalone.start({ manifests: site(3, { affinity: 'cookie' }), workers: 4 });
  context.after(() => sluice.stop());
  const used = new Set<string>();
  for (let client = 0; client < 12; client++) {
    const first = await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
    const cookie = fieldValue(first, 'set-cookie')?.split(';')[0];
    assert.ok(cookie, 'the first answer sets the cookie');
    used.add(first.body.toString());
    for (let i = 0; i < 25; i++) {
      const next = await exchange({ port: sluice.httpPort }, get('/', 'gw.test', [`Cookie: a=b; ${cookie}`]));
      assert.equal(next.body.toString(), first.body.toString());
    }
  }
  assert.ok(used.size > 1, 'clients are spread');
});

test('endpoints and routes change under load without a failed request', async (context) => {
  const sluice = await Standalone.start({ manifests: site(1), workers: 2 });
  context.after(() => sluice.stop());
  const load = Load.start({ port: sluice.httpPort, host: 'gw.test', connections: 8, requestsPerSecond: 400 });
  for (let round = 0; round < 30; round++) {
    const extra = ingress({ name: `extra-${round}`, host: `extra-${round}.test`, paths: { '/': 'site' } });
    await sluice.apply([...site((round % 3) + 1), extra]);
    const response = await exchange({ port: sluice.httpPort }, get('/', `extra-${round}.test`));
    assert.equal(response.status, 200);
  }
  const report = await load.stop();
  assert.deepEqual(report.failures, []);
  assert.ok(report.bodies.size > 1, 'the added endpoints took traffic');
});
