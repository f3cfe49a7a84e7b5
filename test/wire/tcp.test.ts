import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { afterEach, test } from 'node:test';
import pino from 'pino';
import type { Fleet, FleetOptions } from '../../proxy/main.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { freePorts } from '../kit/ports.ts';
import { nextFile } from '../kit/procfs.ts';
import { RawClient } from '../kit/rawclient.ts';
import { endpointsRow, l4Table, plainOutlier, row, snapshot } from '../kit/rows.ts';
import { endOf, TcpBackend } from '../kit/tcpbackend.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function backendWith(onConnection?: (socket: Socket) => void): Promise<TcpBackend> {
  const backend = await TcpBackend.start(onConnection);
  cleanups.push(() => backend.close());
  return backend;
}

async function fleetWith(rows: readonly Row[], options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await testFleet({ drainGraceMs: 0, ...options });
  cleanups.push(() => fleet.stop());
  await put(fleet, rows);
  return fleet;
}

async function put(fleet: Fleet, rows: readonly Row[]): Promise<void> {
  const ack = await fleet.apply(snapshot(rows));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
}

function portOf(fleet: Fleet, listenerId = 'tcp'): number {
  const port = fleet.ports().get(listenerId);
  assert.ok(port !== undefined, `listener ${listenerId} is open`);
  return port;
}

async function open(fleet: Fleet, listenerId = 'tcp'): Promise<RawClient> {
  const client = await RawClient.open({ port: portOf(fleet, listenerId) });
  cleanups.push(() => client.destroy());
  return client;
}

const echo = (socket: Socket) => void socket.pipe(socket);

/** Waits until the metrics page of the fleet has a sample of at least this value. */
async function counted(fleet: Fleet, name: string, least: number): Promise<void> {
  await eventually(async () => {
    const { text } = await adminPage(fleet, '/metrics');
    const value = text.split('\n').find((line) => line.startsWith(`${name} `));
    return Number(value?.slice(name.length + 1) ?? 0) >= least ? true : undefined;
  }, `${name} to be ${least}`);
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('both directions carry the same bytes at the same time, whatever their number', async () => {
  const backend = await backendWith();
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));
  for (const [i, bytes] of [1, 100, 16_384, 16_385, 69_632, 5_000_000].entries()) {
    const client = await open(fleet);
    const [up, down] = [randomBytes(bytes), randomBytes(bytes)];
    const connection = await backend.connection(i);
    connection.socket.end(down);
    client.send(up);
    client.end();
    await waitUntil(() => client.isClosed && connection.isClosed, 'both ends to close');
    assert.equal(client.receivedBytes, bytes);
    assert.equal(digest(client.received), digest(down));
    assert.equal(digest(connection.received), digest(up));
    assert.deepEqual([client.error, connection.errorCode], [null, undefined]);
  }
});

test('a server that speaks first is heard by a client that says nothing', async () => {
  const backend = await backendWith((socket) => socket.write('220 ready\r\n'));
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));
  const client = await open(fleet);
  await waitUntil(() => client.receivedBytes === 11, 'the greeting');
});

test('half-close is kept in both directions', async () => {
  const backend = await backendWith();
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));

  const asking = await open(fleet);
  asking.send('question');
  asking.end();
  const asked = await backend.connection(0);
  await asked.ended();
  assert.equal(asked.received.toString(), 'question');
  assert.equal(asking.isClosed, false);
  asked.socket.end('answer');
  await waitUntil(() => asking.isClosed, 'the client to close');
  assert.equal(asking.received.toString(), 'answer');

  const listening = await open(fleet);
  const telling = await backend.connection(1);
  telling.socket.end('all that I have');
  await waitUntil(() => listening.isEnded, 'FIN at the client');
  listening.send('goes ');
  listening.send('on');
  listening.end();
  await telling.closed();
  assert.equal(telling.received.toString(), 'goes on');
});

test('a reset of one side is a reset for the other', async () => {
  const backend = await backendWith(echo);
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));
  for (const [i, side] of (['client', 'backend'] as const).entries()) {
    const client = await open(fleet);
    client.send('ping');
    const connection = await backend.connection(i);
    await waitUntil(() => client.receivedBytes === 4, 'the echo');
    (side === 'client' ? client : connection).socket.resetAndDestroy();
    if (side === 'client') {
      await connection.closed();
      assert.equal(connection.errorCode, 'ECONNRESET');
    } else {
      await waitUntil(() => client.isClosed, 'the client to close');
      assert.equal((client.error as NodeJS.ErrnoException | null)?.code, 'ECONNRESET');
    }
  }
  await counted(fleet, 'sluice_flows_total{flag="DC"}', 1);
  await counted(fleet, 'sluice_flows_total{flag="UC"}', 1);
});

test('a reader that stops stops its writer, and nothing is lost when it goes on', async () => {
  const block = randomBytes(1 << 20);
  const blocks = 64;
  let written = 0;
  const backend = await backendWith((socket) => {
    const write = () => {
      while (written < blocks) {
        written++;
        if (!socket.write(block)) return void socket.once('drain', write);
      }
      socket.end();
    };
    write();
  });
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]), { workers: 1 });
  const socket = connect({ port: portOf(fleet), host: '127.0.0.1' });
  cleanups.push(() => socket.destroy());
  await once(socket, 'connect');
  const connection = await backend.connection(0);
  // The kernel's buffers of two connections fill; then the backend stands still.
  let before = -1;
  await waitUntil(() => {
    const isStill = connection.socket.writableNeedDrain && before === connection.socket.bytesWritten;
    before = connection.socket.bytesWritten;
    return isStill;
  }, 'the backend to stand still');
  assert.ok(written < blocks, `${written} blocks are under way`);
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (piece: Buffer) => {
    bytes += piece.length;
    hash.update(piece);
  });
  await within(once(socket, 'close'), 'the whole answer');
  const expected = createHash('sha256');
  for (let i = 0; i < blocks; i++) expected.update(block);
  assert.equal(bytes, blocks * block.length);
  assert.equal(hash.digest('hex'), expected.digest('hex'));
});

test('an endpoint that refuses is passed over, and the client notices nothing', async () => {
  const backend = await backendWith(echo);
  const [closed = 0] = await freePorts(1);
  const fleet = await fleetWith(l4Table('tcp', [{ address: '127.0.0.1', port: closed }, backend.endpoint]));
  for (let i = 0; i < 8; i++) {
    const client = await open(fleet);
    client.send('ping');
    await waitUntil(() => client.receivedBytes === 4 || client.isClosed, 'the echo');
    assert.equal(client.received.toString(), 'ping', `client ${i}`);
    client.destroy();
  }
  await counted(fleet, 'sluice_flow_retries_total', 1);
});

const refusals: Record<string, { flag: string; rows(closed: number): Row[] }> = {
  'no route': { flag: 'NR', rows: () => l4Table('tcp', []).filter(({ kind }) => kind !== 'l4route') },
  'no backend with weight': {
    flag: 'NE',
    rows: () => l4Table('tcp', [], { backends: [{ backendId: 'b', weight: 0 }] }),
  },
  'no endpoint': { flag: 'NE', rows: () => l4Table('tcp', []) },
  'a broken backend': {
    flag: 'BR',
    rows: () => [
      ...l4Table('tcp', []).filter(({ kind }) => kind !== 'backend'),
      row('backend', { id: 'b', broken: { status: 503, code: 'ServiceNotFound', message: 'No.' } }),
    ],
  },
  'no endpoint that answers': { flag: 'UF', rows: (port) => l4Table('tcp', [{ address: '127.0.0.1', port }]) },
};

for (const [what, { flag, rows }] of Object.entries(refusals)) {
  test(`a client is reset where there is ${what}`, async () => {
    const [closed = 0] = await freePorts(1);
    const fleet = await fleetWith(rows(closed), { workers: 1 });
    assert.equal(await endOf(portOf(fleet)), 'ECONNRESET');
    await counted(fleet, `sluice_flows_total{flag="${flag}"}`, 1);
  });
}

test('an endpoint that refuses is left out for two seconds at most, as with requests', async () => {
  const [closed = 0] = await freePorts(1);
  const backend = await backendWith(echo);
  const outlier = { ...plainOutlier, baseEjectionMs: 600_000, maxEjectionMs: 600_000 };
  const rows = l4Table('tcp', [backend.endpoint, { address: '127.0.0.1', port: closed }]);
  const lines: string[] = [];
  const kept = new Writable({ write: (bytes: Buffer, _encoding, done) => done(void lines.push(bytes.toString())) });
  const log = pino({ level: 'warn' }, kept);
  const backendRow = row('backend', { id: 'b', protocol: 'tcp', outlier });
  const fleet = await fleetWith([...rows.filter(({ kind }) => kind !== 'backend'), backendRow], { workers: 1, log });
  const leftOut = () => /"forMs":(\d+)/.exec(lines.join(''));
  for (let i = 0; i < 100 && leftOut() === null; i++) {
    const client = await open(fleet);
    client.send('ping');
    await waitUntil(() => client.receivedBytes === 4, 'the echo');
  }
  await waitUntil(() => leftOut() !== null, 'the endpoint to be left out');
  assert.equal(leftOut()?.[1], '2000');
});

test('an endpoint is not blamed for a descriptor that the worker does not have', async () => {
  const backend = await backendWith(echo);
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]), { workers: 1 });
  const [pid = 0] = fleet.state().workerPids;
  const first = await open(fleet);
  first.send('ping');
  await waitUntil(() => first.receivedBytes === 4, 'the echo');
  const allowFiles = (count: number) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count}:20000`]);
  // One for the client, and none for the way to the endpoint.
  allowFiles(nextFile(pid) + 1);
  for (let i = 0; i < 10; i++) assert.equal(await endOf(portOf(fleet)), 'ECONNRESET');
  await counted(fleet, 'sluice_flows_total{flag="OM"}', 10);
  allowFiles(20_000);
  assert.doesNotMatch((await adminPage(fleet, '/metrics')).text, /^sluice_endpoint_ejections_total\{.*\} [1-9]/m);
});

test('an endpoint that leaves keeps its connections and gets no new one', async () => {
  const [old, young] = [await backendWith(echo), await backendWith(echo)];
  const fleet = await fleetWith(l4Table('tcp', [old.endpoint]));
  const before = await open(fleet);
  before.send('ping');
  await waitUntil(() => before.receivedBytes === 4, 'the echo');
  await put(fleet, l4Table('tcp', [young.endpoint]));
  for (let i = 0; i < 8; i++) (await open(fleet)).send('ping');
  await young.connection(7);
  assert.equal(old.connections.length, 1);
  before.send('pong');
  await waitUntil(() => before.receivedBytes === 8, 'the echo of the old endpoint');
});

test('a connection in which nothing moves ends at both sides', async () => {
  const backend = await backendWith(echo);
  const timeouts = { connectMs: 5_000, idleMs: 500 };
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint], { timeouts }));
  const client = await open(fleet);
  client.send('ping');
  await waitUntil(() => client.isClosed, 'the client to be ended');
  assert.equal(client.received.toString(), 'ping');
  await (await backend.connection(0)).closed();
  await counted(fleet, 'sluice_flows_total{flag="SI"}', 1);
});

test('listeners open and close beside each other, and connections outlive their listener', async () => {
  const backend = await backendWith(echo);
  const rows = l4Table('tcp', [backend.endpoint]);
  const both = [
    ...rows,
    row('listener', { id: 'tcp2', protocol: 'tcp' }),
    row('l4route', { id: 'r2', listenerIds: ['tcp2'] }),
  ];
  const fleet = await fleetWith(rows);
  const first = await open(fleet);
  await put(fleet, both);
  const second = await open(fleet, 'tcp2');
  const port = portOf(fleet, 'tcp2');
  // One that still waits in the kernel's queue goes with its listener.
  second.send('ping');
  await waitUntil(() => second.receivedBytes === 4, 'the second listener to have taken its client');
  await put(fleet, rows);
  for (const [i, client] of [first, second, await open(fleet)].entries()) {
    const before = client.receivedBytes;
    client.send('ping');
    await waitUntil(() => client.receivedBytes === before + 4, `the echo of client ${i}`);
  }
  await assert.rejects(RawClient.open({ port }), /ECONNREFUSED/);
});

test('a worker that dies takes its own connections with it, and new ones go on', async () => {
  const backend = await backendWith(echo);
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));
  const clients: RawClient[] = [];
  for (let i = 0; i < 16; i++) clients.push(await open(fleet));
  for (const client of clients) client.send('ping');
  await waitUntil(() => clients.every((client) => client.receivedBytes === 4), 'every echo');
  const [victim = 0] = fleet.state().workerPids;
  process.kill(victim, 'SIGKILL');
  for (const client of clients) client.send('pong');
  await waitUntil(() => clients.every((client) => client.isDone || client.receivedBytes === 8), 'an end or an echo');
  const left = clients.filter((client) => !client.isDone);
  assert.ok(left.length > 0 && left.length < clients.length, `${left.length} of ${clients.length} are left`);
  const next = await open(fleet);
  next.send('ping');
  await waitUntil(() => next.receivedBytes === 4, 'the echo');
});

test('a client address keeps its endpoint, in every worker', async () => {
  const backends = [await backendWith(echo), await backendWith(echo), await backendWith(echo)];
  const affinity = { type: 'client-ip', timeoutSeconds: 60 } as const;
  const rows = l4Table(
    'tcp',
    backends.map(({ endpoint }) => endpoint),
  );
  const fleet = await fleetWith([
    ...rows.filter(({ kind }) => kind !== 'backend'),
    row('backend', { id: 'b', affinity }),
  ]);
  for (let i = 0; i < 12; i++) {
    const client = await open(fleet);
    client.send('ping');
    await waitUntil(() => client.receivedBytes === 4, 'the echo');
  }
  assert.deepEqual(backends.map(({ connections }) => connections.length).sort(), [0, 0, 12]);
});

test('weights are drawn per connection, and a weight of 0 gets none', async () => {
  const [heavy, light, none] = [await backendWith(), await backendWith(), await backendWith()];
  const rows = [
    row('listener', { id: 'tcp', protocol: 'tcp' }),
    row('l4route', {
      id: 'r',
      backends: [
        { backendId: 'heavy', weight: 3 },
        { backendId: 'light', weight: 1 },
        { backendId: 'none', weight: 0 },
      ],
    }),
    ...Object.entries({ heavy, light, none }).flatMap(([id, { endpoint }]) => {
      const endpoints = endpointsRow([endpoint]);
      return [row('backend', { id }), row('endpoints', { ...(endpoints.row as object), id, backendIds: [id] })];
    }),
  ];
  const fleet = await fleetWith(rows);
  const count = () => heavy.connections.length + light.connections.length;
  for (let i = 0; i < 100; i++) (await open(fleet)).end();
  await waitUntil(() => count() === 100, 'all connections');
  // A fair draw is outside these bounds once in ten million runs.
  assert.ok(heavy.connections.length > 50 && light.connections.length > 3, `${heavy.connections.length} of 100`);
  assert.equal(none.connections.length, 0);
});

test('a fleet that drains lets connections end by themselves', async () => {
  const backend = await backendWith(echo);
  const fleet = await testFleet({ drainGraceMs: 20_000 });
  await put(fleet, l4Table('tcp', [backend.endpoint]));
  const client = await open(fleet);
  client.send('ping');
  await waitUntil(() => client.receivedBytes === 4, 'the echo');
  const port = portOf(fleet);
  const stopped = fleet.stop();
  await eventually(async () => {
    const refused = await RawClient.open({ port }).then(
      (other) => other.destroy(),
      () => true,
    );
    return refused === true ? true : undefined;
  }, 'new connections to be refused');
  client.send('pong');
  await waitUntil(() => client.receivedBytes === 8, 'the echo while draining');
  client.end();
  await within(stopped, 'the fleet to stop');
  assert.equal(client.error, null);
});
