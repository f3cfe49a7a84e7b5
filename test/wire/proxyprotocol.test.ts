import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { Limits } from '../../proxy/listen/limits.ts';
import type { Fleet, FleetOptions } from '../../proxy/main.ts';
import type { Row, RowOf } from '../../proxy/table/rows.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { Haproxy, skipWithoutHaproxy } from '../kit/haproxy.ts';
import { freePorts } from '../kit/ports.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { l4Table, plainTable, row, snapshot } from '../kit/rows.ts';
import { fieldValue } from '../kit/splitter.ts';
import { endOf, TcpBackend } from '../kit/tcpbackend.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const anybody = { sources: ['0.0.0.0/0', '::/0'], timeoutMs: 10_000 };

async function fleetWith(rows: readonly Row[], options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await testFleet({ drainGraceMs: 0, workers: 1, ...options });
  cleanups.push(() => fleet.stop());
  const ack = await fleet.apply(snapshot(rows));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
  return fleet;
}

async function backendWith(onConnection?: (socket: Socket) => void): Promise<TcpBackend> {
  const backend = await TcpBackend.start(onConnection);
  cleanups.push(() => backend.close());
  return backend;
}

async function recorderThatAnswers(): Promise<Recorder> {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  cleanups.push(() => recorder.stop());
  return recorder;
}

async function open(fleet: Fleet, listenerId: string): Promise<RawClient> {
  const client = await RawClient.open({ port: fleet.ports().get(listenerId) ?? 0 });
  cleanups.push(() => client.destroy());
  return client;
}

function tcpRows(
  backend: TcpBackend,
  listener: Partial<RowOf<'listener'>>,
  route: Partial<RowOf<'l4route'>> = {},
): Row[] {
  const rows = l4Table('tcp', [backend.endpoint], route).filter(({ kind }) => kind !== 'listener');
  return [row('listener', { id: 'tcp', protocol: 'tcp', ...listener }), ...rows];
}

function httpRows(recorder: Recorder, listener: Partial<RowOf<'listener'>>): Row[] {
  const rows = plainTable([{ address: '127.0.0.1', port: recorder.port }]).filter(({ kind }) => kind !== 'listener');
  return [row('listener', { id: 'http', ...listener }), ...rows];
}

const line = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 8443\r\n';
const signature = '\r\n\r\n\0\r\nQUIT\n';
const binary = (hex: string) =>
  Buffer.concat([Buffer.from(signature, 'latin1'), Buffer.from(hex.replace(/\s/g, ''), 'hex')]);
const binaryV4 = binary('21 11 000c c0000207 c6336401 dc04 20fb');
const binaryV6 = binary('21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 dc04 20fb');

test('a header is read, taken off, and its client is the one that is known', async () => {
  const backend = await backendWith();
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }, { sendProxyProtocol: 'v1' }));
  const seen: string[] = [];
  for (const [i, header] of [line, binaryV4, binaryV6, binary('20 00 0000'), 'PROXY UNKNOWN\r\n'].entries()) {
    const client = await open(fleet, 'tcp');
    client.send(Buffer.concat([Buffer.from(header), Buffer.from('data')]));
    client.end();
    const connection = await backend.connection(i);
    await connection.ended();
    const own = `127.0.0.1 127.0.0.1 ${client.socket.localPort} ${client.socket.remotePort}`;
    seen.push(connection.received.toString().replace(own, 'own'));
    connection.socket.end();
  }
  assert.deepEqual(seen, [
    `${line}data`,
    `${line}data`,
    'PROXY TCP6 2001:db8::7 2001:db8::1 56324 8443\r\ndata',
    'PROXY TCP4 own\r\ndata',
    'PROXY TCP4 own\r\ndata',
  ]);
});

test('a header may drip, and what follows it at once is not lost', async () => {
  const backend = await backendWith();
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }));
  for (const [i, header] of [Buffer.from(line), binaryV6].entries()) {
    const client = await open(fleet, 'tcp');
    for (const byte of header) {
      client.send(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.send('and on');
    const connection = await backend.connection(i);
    assert.equal((await connection.bytes(6)).toString(), 'and on');
  }
});

test('a client at the address of the proxy itself has as many connections as others, and owes for none of the others', async () => {
  const backend = await backendWith();
  for (const [limit, most] of [
    ['connectionsPerSource', 1],
    ['newConnectionsPerSource', 2],
  ] as const) {
    const limits = Limits.parse({ [limit]: most });
    const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }), { limits });
    const before = backend.connections.length;
    for (const [i, address] of ['192.0.2.1', '192.0.2.2', '192.0.2.3', '127.0.0.1'].entries()) {
      const client = await open(fleet, 'tcp');
      client.send(`PROXY TCP4 ${address} 198.51.100.1 56324 8443\r\ndata`);
      const connection = await backend.connection(before + i);
      assert.equal((await connection.bytes(4)).toString(), 'data');
    }
  }
});

test('both versions are sent, with the addresses of the connection itself where nothing else was told', async () => {
  const backend = await backendWith();
  for (const [i, version] of (['v1', 'v2'] as const).entries()) {
    const fleet = await fleetWith(tcpRows(backend, {}, { sendProxyProtocol: version }));
    const client = await open(fleet, 'tcp');
    client.send('data');
    const connection = await backend.connection(i);
    const { localPort = 0, remotePort = 0 } = client.socket;
    const ports = [localPort >> 8, localPort & 255, remotePort >> 8, remotePort & 255];
    const expected =
      version === 'v1'
        ? Buffer.from(`PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${remotePort}\r\ndata`)
        : Buffer.concat([binary('21 11 000c 7f000001 7f000001'), Buffer.from(ports), Buffer.from('data')]);
    assert.deepEqual(await connection.bytes(expected.length), expected);
  }
});

test('a peer that has reset its connection before it is seen is no stranger', async () => {
  const backend = await backendWith();
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }));
  const [worker = 0] = fleet.state().workerPids;
  process.kill(worker, 'SIGSTOP');
  const gone = await open(fleet, 'tcp');
  gone.socket.resetAndDestroy();
  await gone.closed();
  process.kill(worker, 'SIGCONT');
  const next = await open(fleet, 'tcp');
  next.send(`${line}data`);
  await (await backend.connection(0)).bytes(4);
  const { text } = await adminPage(fleet, '/metrics');
  assert.doesNotMatch(text, /^sluice_flows_total\{flag="DPE"\} [1-9]/m);
});

for (const [how, leave] of [
  ['ends', (client: RawClient) => client.end()],
  ['resets', (client: RawClient) => client.socket.resetAndDestroy()],
] as const) {
  test(`a client that ${how} its connection within the header is counted as one that left`, async () => {
    const backend = await backendWith();
    const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }));
    const client = await open(fleet, 'tcp');
    client.send('PROXY TCP4 192.0.2.7 ');
    // It is read before what comes by another connection.
    const other = await open(fleet, 'tcp');
    other.send(`${line}data`);
    await (await backend.connection(0)).bytes(4);
    leave(client);
    const { text } = await eventually(async () => {
      const page = await adminPage(fleet, '/metrics');
      return /^sluice_connections\{listener="tcp"\} 1$/m.test(page.text) ? page : undefined;
    }, 'the connection to be gone');
    assert.match(text, /^sluice_flows_total\{flag="DC"\} 1$/m);
  });
}

const refused: Record<string, string | Buffer> = {
  'no header': 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'half a header and FIN': 'PROXY TCP4 192.0.2.7 ',
  'a header with a fault': 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 99999\r\n',
  'a version that is not known': binary('31 11 000c c0000207 c6336401 dc04 20fb'),
  'a header without end': `PROXY UNKNOWN ${'x'.repeat(200)}`,
};

for (const protocol of ['tcp', 'http'] as const) {
  for (const [what, bytes] of Object.entries(refused)) {
    test(`${protocol}: ${what} is refused, and no backend hears of it`, async () => {
      const backend = await backendWith();
      const proxyProtocol = anybody;
      const rows =
        protocol === 'tcp'
          ? tcpRows(backend, { proxyProtocol })
          : [
              row('listener', { id: 'http', proxyProtocol }),
              ...plainTable([backend.endpoint]).filter(({ kind }) => kind !== 'listener'),
            ];
      const fleet = await fleetWith(rows);
      const client = await open(fleet, protocol);
      client.send(Buffer.from(bytes));
      if (what.endsWith('FIN')) client.end();
      await waitUntil(() => client.isClosed, 'the client to be turned away');
      assert.equal(client.receivedBytes, 0);
      assert.equal(backend.connections.length, 0);
      const flag = what.endsWith('FIN') ? 'DC' : 'DPE';
      const { text } = await adminPage(fleet, '/metrics');
      assert.match(text, new RegExp(`sluice_flows_total\\{flag="${flag}"\\} 1`));
    });
  }
}

test('a peer outside the ranges is refused whatever it says; one inside is believed', async () => {
  const backend = await backendWith((socket) => socket.end());
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: { ...anybody, sources: ['127.0.0.2/32'] } }));
  const port = fleet.ports().get('tcp') ?? 0;
  for (const sent of [Buffer.from(line), Buffer.from('data')]) {
    assert.equal(await endOf(port, sent, '127.0.0.1'), 'ECONNRESET');
  }
  assert.equal(backend.connections.length, 0);
  const trusted = endOf(port, Buffer.from(line), '127.0.0.2');
  await backend.connection(0);
  backend.connections[0]?.socket.destroy();
  await trusted;
});

test('limits are those of the client that the header tells, not of the proxy that sends it', async () => {
  const backend = await backendWith((socket) => socket.pipe(socket));
  const limits = Limits.parse({ connectionsPerSource: 1 });
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }), { limits });
  const clientOf = async (address: string) => {
    const client = await open(fleet, 'tcp');
    client.send(`PROXY TCP4 ${address} 198.51.100.1 56324 8443\r\nping`);
    await waitUntil(() => client.receivedBytes === 4 || client.isDone, 'an echo or an end');
    return client;
  };
  const [first, second, other] = [
    await clientOf('192.0.2.7'),
    await clientOf('192.0.2.7'),
    await clientOf('192.0.2.8'),
  ];
  assert.deepEqual([first.receivedBytes, second.receivedBytes, other.receivedBytes], [4, 0, 4]);
  first.destroy();
  await eventually(
    async () => ((await clientOf('192.0.2.7')).receivedBytes === 4 ? true : undefined),
    'the place to be free again',
  );
});

test('of the handshakes that there may be, no client that a header tells has more than its share', async () => {
  const backend = await backendWith((socket) => socket.pipe(socket));
  const limits = Limits.parse({ handshakes: 16, handshakeMs: 3_600_000 });
  const rows = [...tcpRows(backend, { proxyProtocol: anybody }, { hostnames: ['a.test'] })];
  const fleet = await fleetWith([...rows, row('l4route', { id: 'others', listenerIds: ['tcp'] })], { limits });
  const header = (address: string) => `PROXY TCP4 ${address} 198.51.100.1 56324 8443\r\n`;
  const greedy: RawClient[] = [];
  for (let nth = 0; nth < 14; nth++) {
    const client = await open(fleet, 'tcp');
    client.send(`${header('192.0.2.7')}\x16\x03\x01\x02`);
    greedy.push(client);
  }
  await waitUntil(() => greedy.filter(({ isDone }) => isDone).length >= 2, 'what is too much to be turned away');
  const other = await open(fleet, 'tcp');
  other.send(`${header('192.0.2.8')}ping`);
  await waitUntil(() => other.receivedBytes === 4 || other.isDone, 'an echo or an end');
  assert.equal(other.receivedBytes, 4);
});

test('a client that a header tells, and has its share of the handshakes, has its own give way to a new one', async () => {
  const backend = await backendWith((socket) => socket.pipe(socket));
  const limits = Limits.parse({ handshakesPerSource: 2, handshakeMs: 3_600_000 });
  const rows = [...tcpRows(backend, { proxyProtocol: anybody }, { hostnames: ['a.test'] })];
  const fleet = await fleetWith([...rows, row('l4route', { id: 'others', listenerIds: ['tcp'] })], { limits });
  const say = async (address: string, bytes: string): Promise<RawClient> => {
    const client = await open(fleet, 'tcp');
    client.send(`PROXY TCP4 ${address} 198.51.100.1 56324 8443\r\n${bytes}`);
    return client;
  };
  const other = await say('192.0.2.8', '\x16\x03\x01\x02');
  const greedy = [await say('192.0.2.7', '\x16\x03\x01\x02'), await say('192.0.2.7', '\x16\x03\x01\x02')];
  await eventually(async () => {
    const client = await say('192.0.2.7', 'ping');
    await waitUntil(() => client.receivedBytes === 4 || client.isDone, 'an echo or an end');
    return client.receivedBytes === 4 ? true : undefined;
  }, 'another one of that client to be served');
  await waitUntil(() => greedy.some(({ isDone }) => isDone), 'the end of one that gave way');
  assert.equal(other.isDone, false);
});

test('whoever may send headers stands for its clients, and is not counted as one', async () => {
  const backend = await backendWith((socket) => socket.pipe(socket));
  const limits = Limits.parse({ connectionsPerSource: 1 });
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }), { limits });
  const clients = [await open(fleet, 'tcp'), await open(fleet, 'tcp'), await open(fleet, 'tcp')];
  for (const [i, client] of clients.entries()) client.send(`PROXY TCP4 192.0.2.${i} 198.51.100.1 56324 8443\r\nping`);
  await waitUntil(() => clients.every((client) => client.receivedBytes === 4 || client.isDone), 'every echo');
  assert.deepEqual(
    clients.map(({ receivedBytes }) => receivedBytes),
    [4, 4, 4],
  );
});

test('a header that does not come in time is not waited for', async () => {
  const backend = await backendWith();
  const limits = Limits.parse({ handshakeMs: 600_000 });
  const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: { ...anybody, timeoutMs: 300 } }), { limits });
  for (const sent of ['', 'PROXY TC']) {
    assert.equal(await endOf(fleet.ports().get('tcp') ?? 0, Buffer.from(sent)), 'ECONNRESET');
  }
  assert.equal(backend.connections.length, 0);
});

test('http: the client of the header is the client of every request of the connection', async () => {
  const recorder = await recorderThatAnswers();
  const fleet = await fleetWith(httpRows(recorder, { proxyProtocol: anybody, publicPort: 80 }));
  const client = await open(fleet, 'http');
  client.send(line + get('/1', 'a.test', ['X-Forwarded-For: 203.0.113.9']) + get('/2', 'a.test'));
  assert.equal((await client.response(1)).status, 200);
  for (const request of recorder.requests) {
    assert.equal(fieldValue(request, 'x-forwarded-for'), '192.0.2.7');
    assert.equal(fieldValue(request, 'x-real-ip'), '192.0.2.7');
    assert.equal(fieldValue(request, 'x-forwarded-proto'), 'http');
    assert.equal(fieldValue(request, 'x-forwarded-port'), '8443');
  }
  assert.equal(recorder.requests.length, 2);
});

test('http: a trusted proxy behind the header is believed by the address that the header tells', async () => {
  const recorder = await recorderThatAnswers();
  const fleet = await fleetWith(httpRows(recorder, { proxyProtocol: anybody, trustedProxies: ['192.0.2.0/24'] }));
  const client = await open(fleet, 'http');
  client.send(line + get('/', 'a.test', ['X-Forwarded-For: 203.0.113.9']));
  await client.response(0);
  assert.equal(fieldValue(await recorder.request(), 'x-forwarded-for'), '203.0.113.9, 192.0.2.7');
});

const byTls: Record<string, string | Buffer> = {
  'an SSL TLV': binary('21 11 0014 c0000207 c6336401 dc04 20fb 20 0005 01 00000000'),
  'port 443': 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n',
};

for (const [what, header] of Object.entries(byTls)) {
  test(`http: ${what} says that TLS ended before us`, async () => {
    const recorder = await recorderThatAnswers();
    const fleet = await fleetWith(httpRows(recorder, { proxyProtocol: anybody }));
    const client = await open(fleet, 'http');
    client.send(Buffer.concat([Buffer.from(header), Buffer.from(get('/', 'a.test'))]));
    await client.response(0);
    assert.equal(fieldValue(await recorder.request(), 'x-forwarded-proto'), 'https');
  });
}

const skip = skipWithoutHaproxy();

test('HAProxy sends both versions, and is understood', { skip }, async () => {
  const recorder = await recorderThatAnswers();
  const fleet = await fleetWith(httpRows(recorder, { proxyProtocol: anybody }));
  const [first = 0, second = 0] = await freePorts(2);
  const target = `127.0.0.1:${fleet.ports().get('http')}`;
  const section = (name: string, port: number, how: string) =>
    `listen ${name}\n  mode tcp\n  bind 127.0.0.1:${port}\n  server sluice ${target} ${how}\n`;
  const sections =
    section('v1', first, 'send-proxy') + section('v2', second, 'send-proxy-v2 proxy-v2-options crc32c,unique-id');
  const haproxy = await Haproxy.start(sections, second);
  cleanups.push(() => haproxy.stop());
  for (const port of [first, second]) {
    const client = await RawClient.open({ port });
    cleanups.push(() => client.destroy());
    client.send(get('/', 'a.test'));
    assert.equal((await client.response(0)).status, 200);
    assert.equal(fieldValue(await recorder.request(), 'x-forwarded-port'), String(port));
    recorder.take();
  }
});

test('HAProxy understands both versions as we send them', { skip }, async () => {
  const recorder = await recorderThatAnswers();
  const [port = 0] = await freePorts(1);
  const haproxy = await Haproxy.start(
    `listen in\n  mode http\n  bind 127.0.0.1:${port} accept-proxy\n  http-request set-header X-Source %[src]:%[src_port]\n` +
      `  http-request set-header X-Destination %[dst]:%[dst_port]\n  server recorder 127.0.0.1:${recorder.port}\n`,
    port,
  );
  cleanups.push(() => haproxy.stop());
  for (const version of ['v1', 'v2'] as const) {
    const backend = { endpoint: { address: '127.0.0.1', port } } as TcpBackend;
    const fleet = await fleetWith(tcpRows(backend, { proxyProtocol: anybody }, { sendProxyProtocol: version }));
    const client = await open(fleet, 'tcp');
    client.send(line + get('/', 'a.test'));
    assert.equal((await client.response(0)).status, 200);
    const request = await eventually(async () => recorder.take()[0], 'the request');
    assert.equal(fieldValue(request, 'x-source'), '192.0.2.7:56324', version);
    assert.equal(fieldValue(request, 'x-destination'), '198.51.100.1:8443', version);
  }
});
