import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Attack } from '../kit/attack.ts';
import { Load } from '../kit/load.ts';
import { everythingTo, ingress, service } from '../kit/manifests.ts';
import { childrenOf, cpuSeconds, nextFile } from '../kit/procfs.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;
let worker = 0;
/** Sixteen bytes, as any client of a WebSocket has. */
const key = Buffer.alloc(16).toString('base64');

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  // With a limit of memory it is looked at ten times a second, which takes a descriptor.
  const args = [
    '--access-log',
    '/dev/full',
    '--limit-upstream-idle-connections',
    '1',
    '--limit-memory-bytes',
    '4000000000',
  ];
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port), args });
  [worker = 0] = childrenOf(sluice.process.pid);
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** What the worker may have open from now on. */
function allowFiles(count: number, pid = worker, most = 20_000): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count}:${most}`]);
}

async function ask(): Promise<number | undefined> {
  return (await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined))?.status;
}

test('a full disk costs lines of the access log, counted, and no request', async () => {
  const load = Load.start({ port: sluice.httpPort, host: 'gw.test', connections: 2, requestsPerSecond: 100 });
  await eventually(async () => {
    const page = await sluice.admin('/metrics');
    return Number(/^sluice_access_log_dropped_lines_total (\d+)$/m.exec(page)?.[1]) >= 50 ? true : undefined;
  }, 'dropped lines');
  assert.deepEqual((await load.stop()).failures, []);
});

test('without a descriptor for another connection the worker waits, does not spin, and goes on when there is one', async () => {
  assert.equal(await ask(), 200);
  const kept = await RawClient.open({ port: sluice.httpPort });
  kept.send(get('/', 'gw.test'));
  assert.equal((await kept.response()).status, 200);
  allowFiles(nextFile(worker));
  const flood = Attack.start({ port: sluice.httpPort, from: ['127.0.66.1'], connections: 100 });
  await waitUntil(() => flood.ended >= 90, 'connections to be dropped');
  const [startMs, startCpu] = [performance.now(), cpuSeconds(worker)];
  for (let count = 1; count <= 20; count++) {
    kept.send(get('/', 'gw.test'));
    assert.equal((await kept.response(count)).status, 200, 'who is there already is served by what is there already');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const share = (cpuSeconds(worker) - startCpu) / ((performance.now() - startMs) / 1000);
  assert.ok(share < 0.5, `${share} of a core for waiting`);
  allowFiles(20_000);
  flood.stop();
  await eventually(async () => ((await ask()) === 200 ? true : undefined), 'service as before');
  assert.equal(childrenOf(sluice.process.pid)[0], worker, 'the same worker');
  kept.destroy();
});

test('a request for whose backend there is no descriptor is 503, and the endpoint is not blamed', async () => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open({ port: sluice.httpPort })));
  for (const client of clients) {
    client.send(get('/', 'gw.test'));
    assert.equal((await client.response()).status, 200);
  }
  const firstBytes = clients.map(({ receivedBytes }) => receivedBytes);
  const held: (() => void)[] = [];
  recorder.onRequest = (request) => held.push(() => answer(request, 'ok'));
  allowFiles(nextFile(worker));
  for (const client of clients) client.send(get('/', 'gw.test'));
  // One has the one connection to the backend that is kept.
  await waitUntil(
    () => clients.filter(({ receivedBytes }, nth) => receivedBytes > (firstBytes[nth] ?? 0)).length === 7,
    'seven answers',
  );
  await waitUntil(() => held.length === 1, 'one request');
  for (const release of held) release();
  const statuses = await Promise.all(clients.map(async (client) => (await client.response(1)).status));
  assert.deepEqual(statuses.toSorted(), [200, 503, 503, 503, 503, 503, 503, 503]);
  recorder.onRequest = (request) => answer(request, 'ok');
  allowFiles(20_000);
  for (let count = 0; count < 10; count++) assert.equal(await ask(), 200);
  for (const client of clients) client.destroy();
});

test('clients, however many come, leave descriptors for the backends of those who ask something', async () => {
  const args = ['--limit-upstream-idle-connections', '0'];
  const fresh = await Standalone.start({ manifests: everythingTo(recorder.port), args });
  const [first = 0] = childrenOf(fresh.process.pid);
  // A worker looks once, when it starts, and raises its own limit to the most that it may have from its primary.
  allowFiles(200, fresh.process.pid, 200);
  process.kill(first, 'SIGKILL');
  await waitUntil(() => childrenOf(fresh.process.pid).some((pid) => pid !== first), 'another worker');
  const from = Array.from({ length: 16 }, (_, nth) => `127.0.66.${nth + 1}`);
  const floods: Attack[] = [];
  const come = (connections: number) => floods.push(Attack.start({ port: fresh.httpPort, from, connections }));
  const ended = () => floods.reduce((sum, flood) => sum + flood.ended, 0);
  try {
    // Room is made by those that have been idle longest, and by no more than it takes.
    come(50);
    await waitUntil(() => floods.every(({ connected }) => connected === 50), 'all of them to be idle for longer');
    const kept = await RawClient.open({ port: fresh.httpPort });
    kept.send(get('/', 'gw.test'));
    assert.equal((await kept.response(0)).status, 200);
    come(40);
    await waitUntil(() => ended() > 0, 'some to be ended');
    kept.send(get('/', 'gw.test'));
    assert.equal((await kept.response(1)).status, 200);
    kept.destroy();
    come(400);
    await waitUntil(() => ended() >= 300, 'most to be ended');
    for (let i = 0; i < 20; i++) {
      assert.equal((await exchange({ port: fresh.httpPort }, get('/', 'gw.test'))).status, 200);
    }
  } finally {
    for (const flood of floods) flood.stop();
    await fresh.discard();
  }
});

test('tunnels, however many there are, leave descriptors for the requests of others', async () => {
  const upgrade = [
    'Connection: upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${key}`,
  ];
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const switched = ['HTTP/1.1 101 X', 'Connection: upgrade', 'Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`];
  const backend = await Recorder.start({
    onRequest: (request) => {
      if (request.target === '/tunnel') answerBytes(request, `${switched.join('\r\n')}\r\n\r\n`);
      else if (request.target !== '/held') answer(request, 'ok');
    },
  });
  const args = ['--limit-upstream-idle-connections', '0'];
  const fresh = await Standalone.start({ manifests: everythingTo(backend.port), args });
  const [first = 0] = childrenOf(fresh.process.pid);
  allowFiles(200, fresh.process.pid, 200);
  process.kill(first, 'SIGKILL');
  await waitUntil(() => childrenOf(fresh.process.pid).some((pid) => pid !== first), 'another worker');
  const session = http2.connect(`http://127.0.0.1:${fresh.httpPort}`);
  const tunnels: RawClient[] = [];
  try {
    // A connection with a request under way is not one to make room.
    session.request({ ':authority': 'gw.test', ':path': '/held' }).on('error', () => undefined);
    await backend.request();
    for (let nth = 0; nth < 130; nth++) {
      const client = await RawClient.open({ port: fresh.httpPort, from: `127.0.66.${1 + (nth % 16)}` }).catch(
        () => null,
      );
      if (client === null) continue;
      tunnels.push(client);
      client.send(get('/tunnel', 'gw.test', upgrade));
      await client.response().catch(() => undefined);
    }
    assert.ok(backend.take().length > 20 && tunnels.some(({ isDone }) => isDone), 'as many as there is room for');
    for (let i = 0; i < 5; i++) {
      const stream = session.request({ ':authority': 'gw.test', ':path': '/' });
      const [fields] = (await within(once(stream, 'response'), 'an answer')) as [Record<string, unknown>];
      assert.equal(fields[':status'], 200);
    }
  } finally {
    session.destroy();
    for (const tunnel of tunnels) tunnel.destroy();
    await fresh.discard();
    await backend.stop();
  }
});

test('a line of the access log that a full disk cuts off spoils no line after it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-shortage-'));
  const log = join(dir, 'access.log');
  const fresh = await Standalone.start({ manifests: everythingTo(recorder.port), args: ['--access-log', log] });
  const [pid = 0] = childrenOf(fresh.process.pid);
  let asked = 0;
  const askOnce = async () => {
    asked++;
    return (await exchange({ port: fresh.httpPort }, get('/', 'gw.test'))).status;
  };
  const written = () => readFileSync(log, 'utf8').split('\n').slice(0, -1);
  const dropped = async () =>
    Number(/^sluice_access_log_dropped_lines_total (\d+)$/m.exec(await fresh.admin('/metrics'))?.[1]);
  try {
    assert.equal(await askOnce(), 200);
    await waitUntil(() => existsSync(log) && written().length === 1, 'the first line');
    // As when the disk is full, a write stops in its middle.
    execFileSync('prlimit', ['--pid', String(pid), `--fsize=${statSync(log).size + 100}:unlimited`]);
    assert.equal(await askOnce(), 200);
    await eventually(async () => ((await dropped()) > 0 ? true : undefined), 'a line to be dropped');
    execFileSync('prlimit', ['--pid', String(pid), '--fsize=unlimited:unlimited']);
    for (let i = 0; i < 5; i++) assert.equal(await askOnce(), 200);
    const isWhole = (line: string) => line.startsWith('{') && line.endsWith('}');
    await eventually(
      async () => (written().filter(isWhole).length + (await dropped()) === asked ? true : undefined),
      'each request to be in a line of its own, or counted',
    );
    assert.equal(written().filter((line) => !isWhole(line)).length, 1);
  } finally {
    await fresh.stop();
    rmSync(dir, { recursive: true });
  }
});

test('a connection that is kept for later gives its descriptor to one that is needed now', async () => {
  const other = await Recorder.start({ onRequest: (request) => answer(request, 'other') });
  const manifests = [
    ...everythingTo(recorder.port),
    ingress({ name: 'other', host: 'other.test', paths: { '/': 'other' } }),
    ...service('other', [other.port]),
  ];
  // One that has opened nothing so far: client and backend get the lowest numbers, and are below the limit.
  const fresh = await Standalone.start({ manifests });
  try {
    const [pid = 0] = childrenOf(fresh.process.pid);
    const client = await RawClient.open({ port: fresh.httpPort });
    client.send(get('/', 'gw.test'));
    assert.equal((await client.response(0)).body.toString(), 'ok');
    allowFiles(nextFile(pid), pid);
    client.send(get('/', 'other.test'));
    assert.equal((await client.response(1)).body.toString(), 'other');
    client.destroy();
  } finally {
    await fresh.stop();
    await other.stop();
  }
});

test('connections that are kept for later, however many requests had them, leave descriptors for clients', async () => {
  const held: (() => void)[] = [];
  const backends = await Promise.all(
    ['a', 'b'].map(() => Recorder.start({ onRequest: (request) => held.push(() => answer(request, 'ok')) })),
  );
  const manifests = [
    ...everythingTo(recorder.port),
    ...backends.flatMap(({ port }, nth) => [
      ingress({ name: `kept-${nth}`, host: `kept-${nth}.test`, paths: { '/': `kept-${nth}` } }),
      ...service(`kept-${nth}`, [port]),
    ]),
  ];
  const fresh = await Standalone.start({ manifests });
  const [first = 0] = childrenOf(fresh.process.pid);
  allowFiles(200, fresh.process.pid, 200);
  process.kill(first, 'SIGKILL');
  await waitUntil(() => childrenOf(fresh.process.pid).some((pid) => pid !== first), 'another worker');
  const session = http2.connect(`http://127.0.0.1:${fresh.httpPort}`);
  const clients: RawClient[] = [];
  try {
    for (const nth of backends.keys()) {
      const answers = Array.from({ length: 65 }, () => {
        const stream = session.request({ ':authority': `kept-${nth}.test`, ':path': '/' });
        return within(once(stream.resume(), 'end'), 'an answer');
      });
      await waitUntil(() => held.length === answers.length, 'all of them to be asked');
      for (const release of held.splice(0)) release();
      await Promise.all(answers);
    }
    for (let nth = 0; nth < 60; nth++) {
      const client = await RawClient.open({ port: fresh.httpPort, from: `127.0.66.${1 + (nth % 16)}` });
      clients.push(client);
      client.send(get('/', 'gw.test'));
      assert.equal((await client.response()).status, 200);
    }
  } finally {
    session.destroy();
    for (const client of clients) client.destroy();
    await fresh.discard();
    for (const backend of backends) await backend.stop();
  }
});
