import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import type { Fleet } from '../../proxy/main.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { deafListener } from '../kit/deaflistener.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { RawClient } from '../kit/rawclient.ts';
import { l4Table, row, snapshot } from '../kit/rows.ts';
import { endOf, TcpBackend } from '../kit/tcpbackend.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function backendWith(onConnection: (socket: Socket) => void): Promise<TcpBackend> {
  const backend = await TcpBackend.start(onConnection);
  cleanups.push(() => backend.close());
  return backend;
}

async function fleetWith(rows: readonly Row[]): Promise<Fleet> {
  const fleet = await testFleet({ drainGraceMs: 0, workers: 1 });
  cleanups.push(() => fleet.stop());
  const ack = await fleet.apply(snapshot(rows));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
  return fleet;
}

async function open(fleet: Fleet, listenerId = 'tcp'): Promise<RawClient> {
  const client = await RawClient.open({ port: fleet.ports().get(listenerId) ?? 0 });
  cleanups.push(() => client.destroy());
  return client;
}

const echo = (socket: Socket) => void socket.pipe(socket);

async function sample(fleet: Fleet, name: string): Promise<number> {
  const { text } = await adminPage(fleet, '/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

/** Port of a socket that takes no connection: its queue is full, so that the kernel drops every SYN. */
async function deafPort(): Promise<number> {
  const { port, close } = await deafListener(1);
  cleanups.push(close);
  let taken = 0;
  for (let i = 0; i < 4; i++) {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('connect', () => taken++).on('error', () => undefined);
    cleanups.push(() => socket.destroy());
  }
  await waitUntil(() => taken === 2, 'the queue to be full');
  return port;
}

test('an endpoint that does not take the connection in time is passed over', async () => {
  const [port, backend] = [await deafPort(), await backendWith(echo)];
  const timeouts = { connectMs: 300, idleMs: 60_000 };
  const fleet = await fleetWith(l4Table('tcp', [{ address: '127.0.0.1', port }, backend.endpoint], { timeouts }));
  for (let i = 0; i < 2; i++) {
    const client = await open(fleet);
    client.send('ping');
    await waitUntil(() => client.receivedBytes === 4, 'the echo');
  }
});

test('where there is no other, the client is reset, and the flag says that it was the connect timeout', async () => {
  const timeouts = { connectMs: 300, idleMs: 60_000 };
  const fleet = await fleetWith(l4Table('tcp', [{ address: '127.0.0.1', port: await deafPort() }], { timeouts }));
  assert.equal(await endOf(fleet.ports().get('tcp') ?? 0), 'ECONNRESET');
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="UCT"}'), 1);
});

test('a connection in which one side talks is not idle, whichever it is', async () => {
  const backend = await backendWith((socket) => {
    socket.once('data', (first) => {
      socket.write(first);
      if (String(first) !== 'talk') return;
      const talk = setInterval(() => socket.write('more'), 20);
      socket.on('close', () => clearInterval(talk)).on('error', () => undefined);
    });
  });
  const timeouts = { connectMs: 1_000, idleMs: 1_500 };
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint], { timeouts }));
  const [listening, talking, silent] = [await open(fleet), await open(fleet), await open(fleet)];
  listening.send('talk');
  talking.send('hush');
  await waitUntil(() => listening.receivedBytes > 4 && talking.receivedBytes === 4, 'both to be under way');
  const talk = setInterval(() => talking.send('more'), 20);
  cleanups.push(() => clearInterval(talk));
  silent.send('hush');
  await waitUntil(() => silent.isClosed, 'the silent one to be ended');
  const before = [listening.receivedBytes, (await backend.connection(1)).received.length] as const;
  await waitUntil(() => listening.receivedBytes > before[0] + 40, 'more to listen to');
  await (await backend.connection(1)).bytes(before[1] + 40);
  assert.equal(talking.isClosed, false);
});

test('without an idle time a connection stays in which nothing moves', async () => {
  const backend = await backendWith(echo);
  const timeouts = { connectMs: 1_000, idleMs: 0 };
  const fleet = await fleetWith([
    ...l4Table('tcp', [backend.endpoint], { timeouts }),
    row('listener', { id: 'other', protocol: 'tcp' }),
    row('l4route', { id: 'r2', listenerIds: ['other'], timeouts: { ...timeouts, idleMs: 500 } }),
  ]);
  const [lasting, idle] = [await open(fleet), await open(fleet, 'other')];
  for (const client of [lasting, idle]) client.send('ping');
  await waitUntil(() => idle.isClosed, 'the other one to be ended');
  lasting.send('pong');
  await waitUntil(() => lasting.receivedBytes === 8, 'the echo');
});

test('a client that sends on to an endpoint that has ended its side, and is gone, is reset', async () => {
  const backend = await backendWith((socket) => void socket.end('all that I have'));
  const fleet = await fleetWith(l4Table('tcp', [backend.endpoint]));
  const client = await open(fleet);
  await waitUntil(() => client.isEnded, 'FIN at the client');
  (await backend.connection(0)).socket.destroy();
  await waitUntil(() => {
    client.send('more');
    return client.isClosed;
  }, 'the client to be reset');
  // One who has heard FIN and does nothing but write finds it out by writing.
  assert.match((client.error as NodeJS.ErrnoException | null)?.code ?? '', /^(?:EPIPE|ECONNRESET)$/);
  assert.equal(client.received.toString(), 'all that I have');
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="UC"}'), 1);
});

test('connections beyond the limit of the backend are reset, until one of those within ends', async () => {
  const backend = await backendWith(echo);
  const circuit = { connections: 1, pending: 0, requests: 0, retries: 0 };
  const rows = l4Table('tcp', [backend.endpoint]).filter(({ kind }) => kind !== 'backend');
  const fleet = await fleetWith([...rows, row('backend', { id: 'b', protocol: 'tcp', circuit })]);
  const first = await open(fleet);
  first.send('ping');
  await waitUntil(() => first.receivedBytes === 4, 'the echo');
  assert.equal(await endOf(fleet.ports().get('tcp') ?? 0), 'ECONNRESET');
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="UO"}'), 1);
  assert.equal(backend.connections.length, 1);
  first.destroy();
  await eventually(async () => {
    const next = await open(fleet).catch(() => undefined);
    if (next === undefined) return undefined;
    next.send('ping');
    await waitUntil(() => next.receivedBytes === 4 || next.isDone, 'an echo or an end');
    return next.receivedBytes === 4 ? true : undefined;
  }, 'the place to be free again');
});
