import assert from 'node:assert/strict';
import dgram, { type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { Limits } from '../../proxy/listen/limits.ts';
import type { Fleet, FleetOptions } from '../../proxy/main.ts';
import type { Endpoints } from '../../proxy/table/backend.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { freePorts } from '../kit/ports.ts';
import { endpointsRow, l4Table, row, snapshot } from '../kit/rows.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A backend that keeps what comes, and answers as it is told. */
class UdpBackend {
  readonly received: { text: string; port: number }[] = [];
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async start(
    answer: (datagram: Buffer, send: (datagram: Buffer | string) => void) => void,
  ): Promise<UdpBackend> {
    const socket = dgram.createSocket('udp4');
    const backend = new UdpBackend(socket);
    socket.on('message', (datagram: Buffer, { port, address }: RemoteInfo) => {
      backend.received.push({ text: datagram.toString('latin1', 0, 40), port });
      answer(datagram, (bytes) => socket.send(bytes, port, address));
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    cleanups.push(() => backend.close());
    return backend;
  }

  get endpoint(): { address: string; port: number } {
    return { address: '127.0.0.1', port: this.socket.address().port };
  }

  #isClosed = false;

  close(): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }
}

/** A client with a port of its own. */
class UdpClient {
  readonly answers: Buffer[] = [];
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('message', (datagram) => this.answers.push(datagram));
  }

  static async open(fleet: Fleet, localPort = 0): Promise<UdpClient> {
    const socket = dgram.createSocket('udp4');
    const client = new UdpClient(socket);
    cleanups.push(() => client.close());
    socket.bind(localPort, '127.0.0.1');
    await once(socket, 'listening');
    socket.connect(fleet.ports().get('udp') ?? 0, '127.0.0.1');
    await once(socket, 'connect');
    cleanups.push(() => client.close());
    return client;
  }

  #isClosed = false;

  close(): void {
    if (!this.#isClosed) this.socket.close();
    this.#isClosed = true;
  }

  /** Sends and waits for the answer; loopback loses nothing that fits into its buffers. */
  async ask(datagram: Buffer | string): Promise<Buffer> {
    const before = this.answers.length;
    this.socket.send(datagram);
    await waitUntil(() => this.answers.length > before, 'an answer');
    return this.answers[before] ?? Buffer.alloc(0);
  }
}

const echo = (datagram: Buffer, send: (datagram: Buffer) => void) => send(datagram);

/** Answers with a name, so that clients know who answers. */
const named = (name: string) => (_: Buffer, send: (datagram: string) => void) => send(name);

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

async function sample(fleet: Fleet, name: string): Promise<number> {
  const { text } = await adminPage(fleet, '/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

test('datagrams of every size come through whole, 64 KiB and the empty one included', async () => {
  const backend = await UdpBackend.start(echo);
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint]));
  const client = await UdpClient.open(fleet);
  for (const bytes of [0, 1, 512, 1_472, 16_385, 65_507]) {
    const sent = Buffer.alloc(bytes, `${bytes} `);
    assert.ok((await client.ask(sent)).equals(sent), `${bytes} bytes`);
  }
});

test('a client keeps its endpoint and its port there; many clients are spread over workers and endpoints', async () => {
  const backends = [await UdpBackend.start(named('a')), await UdpBackend.start(named('b'))];
  const fleet = await fleetWith(
    l4Table(
      'udp',
      backends.map(({ endpoint }) => endpoint),
    ),
  );
  const names = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const client = await UdpClient.open(fleet);
    for (let question = 0; question < 4; question++) await client.ask(`client ${i}`);
    assert.equal(new Set(client.answers.map(String)).size, 1, `client ${i}`);
    names.add(String(client.answers[0]));
  }
  assert.equal(names.size, 2);
  const ports = Map.groupBy(
    backends.flatMap(({ received }) => received),
    ({ text }) => text,
  );
  for (const [client, received] of ports) assert.equal(new Set(received.map(({ port }) => port)).size, 1, client);
  assert.equal(await sample(fleet, 'sluice_connections{listener="udp"}'), 20);
});

test('answers that nobody asked for reach the client, as many as there are', async () => {
  const backend = await UdpBackend.start((datagram, send) => {
    for (let i = 0; i < Number(datagram); i++) send(`${i}`);
  });
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint]));
  const client = await UdpClient.open(fleet);
  client.socket.send('5');
  await waitUntil(() => client.answers.length === 5, 'five answers');
  assert.deepEqual(client.answers.map(String).sort(), ['0', '1', '2', '3', '4']);
});

test('a flow ends when it has the answers that the route expects, and another one begins', async () => {
  const backend = await UdpBackend.start(echo);
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { responses: 1 }));
  const client = await UdpClient.open(fleet);
  for (let i = 0; i < 3; i++) assert.equal(String(await client.ask(`q${i}`)), `q${i}`);
  assert.equal(new Set(backend.received.map(({ port }) => port)).size, 3);
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="-"}'), 3);
});

test('with no answers expected nothing is kept of a client', async () => {
  const backend = await UdpBackend.start(() => undefined);
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { responses: 0 }));
  const client = await UdpClient.open(fleet);
  client.socket.send('syslog');
  await waitUntil(() => backend.received.length === 1, 'the datagram');
  assert.equal(await sample(fleet, 'sluice_connections{listener="udp"}'), 0);
});

test('silence ends a flow: soon after a single question, else by the idle time of the route', async () => {
  const backend = await UdpBackend.start(echo);
  const limits = Limits.parse({ udpQuestionMs: 300 });
  const timeouts = { connectMs: 1_000, idleMs: 60_000 };
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { timeouts }), { limits });
  const [asking, talking] = [await UdpClient.open(fleet), await UdpClient.open(fleet)];
  // Two questions before the first is answered: between them is no silence, however slow the machine.
  for (const question of ['1', '2']) talking.socket.send(question);
  await waitUntil(() => talking.answers.length === 2, 'both answers');
  await asking.ask('1');
  await eventually(
    async () => ((await sample(fleet, 'sluice_connections{listener="udp"}')) === 1 ? true : undefined),
    'the flow of the single question to end',
  );
  await talking.ask('3');
  assert.equal(new Set(backend.received.map(({ port }) => port)).size, 2);
});

test('the idle time of the route ends a talk, too', async () => {
  const backend = await UdpBackend.start(echo);
  const timeouts = { connectMs: 1_000, idleMs: 300 };
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { timeouts }));
  const client = await UdpClient.open(fleet);
  await client.ask('1');
  await client.ask('2');
  await eventually(
    async () => ((await sample(fleet, 'sluice_connections{listener="udp"}')) === 0 ? true : undefined),
    'the flow to end',
  );
});

test('a client that only listens keeps its flow while its endpoint talks', async () => {
  const backend = await UdpBackend.start((datagram, send) => {
    send(datagram);
    if (String(datagram) !== 'talk') return;
    const talk = setInterval(() => send('more'), 20);
    cleanups.push(() => clearInterval(talk));
  });
  const limits = Limits.parse({ udpQuestionMs: 1_500 });
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint]), { limits });
  const [listening, silent] = [await UdpClient.open(fleet), await UdpClient.open(fleet)];
  await listening.ask('talk');
  await silent.ask('hush');
  await eventually(
    async () => ((await sample(fleet, 'sluice_connections{listener="udp"}')) < 2 ? true : undefined),
    'the flow of the other client to end',
  );
  const before = listening.answers.length;
  await waitUntil(() => listening.answers.length > before + 10, 'more to listen to');
});

test('an endpoint that refuses is left by the next datagram, though the balance would have it again', async () => {
  const backends = [await UdpBackend.start(named('a')), await UdpBackend.start(named('b'))];
  const endpoints = backends.map(({ endpoint }) => endpoint);
  const rows = l4Table('udp', endpoints).filter(({ kind }) => kind !== 'backend');
  const balance = { algorithm: 'ring-hash' as const, parts: [{ type: 'source' as const }], subsetSize: 0 };
  const fleet = await fleetWith([...rows, row('backend', { id: 'b', protocol: 'udp', balance })]);
  const client = await UdpClient.open(fleet);
  const first = String(await client.ask('hello'));
  for (const backend of backends) if (backend.received.length > 0) backend.close();
  const before = client.answers.length;
  await eventually(async () => {
    client.socket.send('hello?');
    return client.answers.length > before ? true : undefined;
  }, 'the other endpoint to answer');
  assert.notEqual(String(client.answers[before]), first);
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="UC"}'), 1);
  assert.equal(await sample(fleet, 'sluice_flows_total{flag="UF"}'), 0);
});

test('an endpoint that leaves gets no new client, and keeps those that it has', async () => {
  const [old, young] = [await UdpBackend.start(named('old')), await UdpBackend.start(named('young'))];
  const fleet = await fleetWith(l4Table('udp', [old.endpoint]));
  const client = await UdpClient.open(fleet);
  assert.equal(String(await client.ask('1')), 'old');
  await put(fleet, l4Table('udp', [young.endpoint]));
  for (let i = 0; i < 8; i++) assert.equal(String(await (await UdpClient.open(fleet)).ask('1')), 'young');
  assert.equal(String(await client.ask('2')), 'old');
});

for (const [where, others] of [
  ['the tables', () => []],
  [
    'its backend, and not those of others,',
    (old: Endpoints['endpoints']) => [
      row('backend', { id: 'c', protocol: 'udp' }),
      row('endpoints', { id: 'o', backendIds: ['c'], endpoints: old }),
    ],
  ],
] as const) {
  test(`an endpoint that left ${where} and says nothing more loses the clients that it had`, async () => {
    let isSilent = false;
    const old = await UdpBackend.start((_, send) => {
      if (!isSilent) send('old');
    });
    const young = await UdpBackend.start(named('young'));
    const fleet = await fleetWith(l4Table('udp', [old.endpoint]));
    const client = await UdpClient.open(fleet);
    assert.equal(String(await client.ask('1')), 'old');
    isSilent = true;
    const { endpoints } = endpointsRow([old.endpoint]).row as Endpoints;
    await put(fleet, [...l4Table('udp', [young.endpoint]), ...others(endpoints)]);
    await eventually(async () => {
      client.socket.send('2');
      return client.answers.some((answer) => String(answer) === 'young') ? true : undefined;
    }, 'the other endpoint to answer');
    assert.ok(old.received.length > 1, 'it was asked for a while');
  });
}

for (const [whose, allowed, clientsOfPort] of [
  ['of one source', { udpFlows: 8, udpFlowsPerSource: 3 }, { most: null, mostPerSource: null }],
  ['of all', { udpFlows: 3, udpFlowsPerSource: 8 }, { most: null, mostPerSource: null }],
  ['of one source on its port', {}, { most: 8, mostPerSource: 3 }],
  ['of all on its port', {}, { most: 3, mostPerSource: null }],
] as const) {
  test(`clients beyond the limit ${whose} are not heard, those within are`, async () => {
    const backend = await UdpBackend.start(echo);
    const table = l4Table('udp', [backend.endpoint], { clients: clientsOfPort });
    const fleet = await fleetWith(table, { workers: 1, limits: Limits.parse(allowed) });
    const clients: UdpClient[] = [];
    for (let i = 0; i < 3; i++) clients.push(await UdpClient.open(fleet));
    for (const client of clients) await client.ask('1');
    const fourth = await UdpClient.open(fleet);
    fourth.socket.send('1');
    await eventually(
      async () => ((await sample(fleet, 'sluice_datagrams_dropped_total')) >= 1 ? true : undefined),
      'the datagram to be dropped',
    );
    for (const client of clients) await client.ask('2');
    assert.equal(fourth.answers.length, 0);
  });
}

test('a worker without memory hears no new client', async () => {
  const backend = await UdpBackend.start(echo);
  // Less than any worker has when it starts.
  const limits = Limits.parse({ memoryBytes: 16 << 20 });
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint]), { workers: 1, limits });
  await eventually(async () => {
    (await UdpClient.open(fleet)).socket.send('1');
    return (await sample(fleet, 'sluice_datagrams_dropped_total')) >= 1 ? true : undefined;
  }, 'a datagram to be dropped');
});

test('a flow that is over leaves its place to another client of its source', async () => {
  const backend = await UdpBackend.start(echo);
  const limits = Limits.parse({ udpFlows: 1, udpFlowsPerSource: 1 });
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { responses: 1 }), { workers: 1, limits });
  for (let i = 0; i < 3; i++) await (await UdpClient.open(fleet)).ask(`${i}`);
});

test('a client without an endpoint is told apart by the flag, and served when there is one', async () => {
  const backend = await UdpBackend.start(echo);
  const fleet = await fleetWith(l4Table('udp', []), { workers: 1 });
  const client = await UdpClient.open(fleet);
  client.socket.send('1');
  await eventually(
    async () => ((await sample(fleet, 'sluice_flows_total{flag="NE"}')) === 1 ? true : undefined),
    'the flow to be refused',
  );
  await put(fleet, l4Table('udp', [backend.endpoint]));
  await eventually(async () => {
    client.socket.send('2');
    return client.answers.length > 0 ? true : undefined;
  }, 'an answer');
});

test('a worker that dies moves no client of the others, and its own datagrams wait for its successor', async () => {
  const backend = await UdpBackend.start(echo);
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint]), { workers: 3 });
  const clients: UdpClient[] = [];
  for (let i = 0; i < 30; i++) clients.push(await UdpClient.open(fleet));
  for (const [i, client] of clients.entries()) await client.ask(`client ${i}`);
  const [victim = 0] = fleet.state().workerPids;
  process.kill(victim, 'SIGKILL');
  for (const [i, client] of clients.entries()) client.socket.send(`client ${i}`);
  await waitUntil(() => clients.every(({ answers }) => answers.length === 2), 'an answer for everybody');
  const ports = Map.groupBy(backend.received, ({ text }) => text);
  const moved = [...ports.values()].filter((received) => new Set(received.map(({ port }) => port)).size > 1);
  assert.ok(moved.length > 0 && moved.length < 25, `${moved.length} of 30 clients have another port now`);
});

test('a port that is closed and used again by another client is a client of its own', async () => {
  const backend = await UdpBackend.start(named('a'));
  const fleet = await fleetWith(l4Table('udp', [backend.endpoint], { responses: 1 }));
  const first = await UdpClient.open(fleet);
  await first.ask('1');
  const { port } = first.socket.address();
  first.close();
  const second = await UdpClient.open(fleet, port);
  await second.ask('2');
  assert.deepEqual(
    backend.received.map(({ text }) => text),
    ['1', '2'],
  );
  assert.notEqual(backend.received[0]?.port, backend.received[1]?.port);
});

test('a udp and a tcp listener may have the same port, and a udp listener closes alone', async () => {
  const backend = await UdpBackend.start(echo);
  const [port = 0] = await freePorts(1);
  const tcp = row('listener', { id: 'tcp', protocol: 'tcp', port });
  const rows = [...l4Table('udp', [backend.endpoint]), row('listener', { id: 'udp', protocol: 'udp', port })];
  const fleet = await fleetWith([...rows, tcp]);
  assert.equal(String(await (await UdpClient.open(fleet)).ask('1')), '1');
  assert.deepEqual([...fleet.ports().values()], [port, port]);
  await put(fleet, [tcp]);
  assert.deepEqual([...fleet.ports()], [['tcp', port]]);
  const socket = dgram.createSocket('udp4');
  cleanups.push(() => socket.close());
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const failed = once(socket, 'error');
  socket.send('1');
  const [error] = (await within(failed, 'the refusal')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
});
