import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, before, test } from 'node:test';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { Limits } from '../../proxy/listen/limits.ts';
import type { Fleet, FleetOptions } from '../../proxy/main.ts';
import type { Row, RowOf } from '../../proxy/table/rows.ts';
import { Authority } from '../kit/authority.ts';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { testFleet } from '../kit/fleet.ts';
import { ingress, ingressClass, opaqueSecret, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { certificateRow, endpointsRow, plainServerTls, plainTable, row, snapshot } from '../kit/rows.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { endOf, TcpBackend } from '../kit/tcpbackend.ts';
import { eventually, waitUntil, within } from '../kit/wait.ts';

const cleanups: (() => unknown)[] = [];
let ours: CertificatePair;
let theirs: CertificatePair;

before(async () => {
  ours = await certificateFor(['term.test']);
  theirs = await certificateFor(['raw.test']);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A TLS server of its own, that echoes. */
async function tlsBackend(options: TlsOptions = {}): Promise<Server> {
  const server = createServer({ cert: theirs.cert, key: theirs.key, ALPNProtocols: ['h2', 'echo'], ...options });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Endpoints of a backend of their own. */
function backendRows(id: string, port: number): Row[] {
  const { row: endpoints } = endpointsRow([{ address: '127.0.0.1', port }]);
  return [
    row('backend', { id, protocol: 'tcp' }),
    row('endpoints', { ...(endpoints as object), id, backendIds: [id] }),
  ];
}

/** An https listener on which `term.test` and others are terminated, and raw.test and *.wild.test go to a TLS backend. */
function rows(recorder: Recorder, rawPort: number, fields: RowFields = {}): Row[] {
  const usual = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  return [
    ...usual.filter(({ kind }) => kind !== 'listener' && kind !== 'host'),
    row('listener', {
      id: 'https',
      protocol: 'https',
      http2: true,
      tls: { ...plainServerTls, defaultCertificateId: 'ours' },
      ...fields.listener,
    }),
    row('host', { id: 'h', listenerIds: ['https'] }),
    certificateRow('ours', ['term.test'], ours),
    row('l4route', {
      id: 'raw',
      listenerIds: ['https'],
      hostnames: ['raw.test', '*.wild.test'],
      backends: [{ backendId: 'raw', weight: 1 }],
      ...fields.route,
    }),
    ...backendRows('raw', rawPort),
  ];
}

interface RowFields {
  listener?: Partial<RowOf<'listener'>>;
  route?: Partial<RowOf<'l4route'>>;
}

async function fleetWith(table: readonly Row[], options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await testFleet({ drainGraceMs: 0, ...options });
  cleanups.push(() => fleet.stop());
  await put(fleet, table);
  return fleet;
}

async function put(fleet: Fleet, table: readonly Row[]): Promise<void> {
  const ack = await fleet.apply(snapshot(table));
  assert.equal(ack.type, 'applied', JSON.stringify(ack));
}

async function recorderThatAnswers(): Promise<Recorder> {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  cleanups.push(() => recorder.stop());
  return recorder;
}

async function secure(fleet: Fleet, options: ConnectionOptions): Promise<TLSSocket> {
  const port = fleet.ports().get('https') ?? 0;
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  cleanups.push(() => socket.destroy());
  await within(once(socket, 'secureConnect'), 'the handshake');
  socket.on('error', () => undefined);
  return socket;
}

function namesOf(socket: TLSSocket): string | undefined {
  return socket.getPeerCertificate().subjectaltname;
}

async function echoed(socket: TLSSocket, bytes: Buffer): Promise<void> {
  let received = Buffer.alloc(0);
  socket.on('data', (piece: Buffer) => {
    received = Buffer.concat([received, piece]);
  });
  socket.write(bytes);
  await waitUntil(() => received.length >= bytes.length || socket.destroyed, 'the echo');
  assert.ok(received.equals(bytes));
}

test('one port: some names reach their backend undecrypted, the others are terminated', async () => {
  const [recorder, backend] = [await recorderThatAnswers(), await tlsBackend()];
  const fleet = await fleetWith(rows(recorder, portOf(backend)));
  for (const [servername, alpn] of [
    ['raw.test', 'h2'],
    ['RAW.test', 'echo'],
    ['a.wild.test', 'h2'],
  ] as const) {
    const socket = await secure(fleet, { servername, ALPNProtocols: [alpn] });
    assert.equal(namesOf(socket), 'DNS:raw.test', servername);
    assert.equal(socket.alpnProtocol, alpn);
    await echoed(socket, Buffer.alloc(3_000_000, servername));
    socket.destroy();
  }
  const port = fleet.ports().get('https') ?? 0;
  for (const servername of ['term.test', 'a.b.wild.test', 'wild.test', '']) {
    const client = await RawClient.open({ port, tls: { servername, ALPNProtocols: ['http/1.1'] } });
    assert.equal(namesOf(client.socket as TLSSocket), 'DNS:term.test', servername);
    client.send(get('/', 'term.test'));
    assert.equal((await client.response()).body.toString(), 'ok');
    client.destroy();
  }
  assert.equal((await secure(fleet, { servername: 'term.test', ALPNProtocols: ['h2'] })).alpnProtocol, 'h2');
});

test('the backend may ask for the client certificate that the gateway never sees', async () => {
  const [recorder, client] = [await recorderThatAnswers(), await certificateFor(['client.test'])];
  const backend = await tlsBackend({ requestCert: true, ca: client.cert, rejectUnauthorized: true });
  const fleet = await fleetWith(rows(recorder, portOf(backend)));
  const shown = await secure(fleet, { servername: 'raw.test', cert: client.cert, key: client.key });
  await echoed(shown, Buffer.from('hello'));
  const hidden = await secure(fleet, { servername: 'raw.test' });
  await waitUntil(() => hidden.destroyed || hidden.errored !== null, 'the backend to refuse');
});

test('sessions of terminated names are resumed beside passthrough, by every worker', async () => {
  const [recorder, backend] = [await recorderThatAnswers(), await tlsBackend()];
  const fleet = await fleetWith(rows(recorder, portOf(backend)), { workers: 3 });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { servername: 'term.test', maxVersion };
    const first = connectTls({
      port: fleet.ports().get('https') ?? 0,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...options,
    });
    const [session] = (await within(once(first, 'session'), 'a session ticket')) as [Buffer];
    first.destroy();
    for (let i = 0; i < 9; i++) {
      const next = await secure(fleet, { ...options, session });
      assert.equal(next.isSessionReused(), true, `${maxVersion}, connection ${i}`);
      next.destroy();
    }
  }
});

test('client certificates of a terminated host are asked for and verified beside passthrough', async () => {
  const root = await Authority.root();
  const [server, alice] = [await root.issue({ names: ['term.test'] }), await root.issue({ subject: 'CN=alice' })];
  const [recorder, backend] = [await recorderThatAnswers(), await tlsBackend()];
  const host = (name: string, of: string, annotations: Record<string, string>, tlsSecretName: object = {}) =>
    ingress({ name, host: `${name}.test`, paths: { '/': of }, annotations, ...tlsSecretName });
  const manifests = (isPassed: boolean) => [
    ingressClass(),
    ...service('recorder', [recorder.port]),
    ...service('vault', [portOf(backend)]),
    tlsSecret('server', server),
    opaqueSecret('root', { 'ca.crt': root.cert }),
    host('term', 'recorder', { 'auth-tls-secret': 'default/root' }, { tlsSecret: 'server' }),
    ...(isPassed ? [host('raw', 'vault', { 'ssl-passthrough': 'true' })] : []),
  ];
  const sluice = await Standalone.start({ manifests: manifests(false) });
  cleanups.push(() => sluice.stop());
  const ask = async (tls: ConnectionOptions) => {
    const options = { servername: 'term.test', ALPNProtocols: ['http/1.1'], ...tls };
    return (await exchange({ port: sluice.httpsPort, tls: options }, get('/', 'term.test'))).status;
  };
  const statuses = async () => [await ask(alice), await ask({})];
  const without = await statuses();
  assert.deepEqual([without[0], without[1] === 200], [200, false]);
  await sluice.apply(manifests(true));
  assert.deepEqual(await statuses(), without);
  const raw = { servername: 'raw.test', rejectUnauthorized: false };
  const passed = connectTls({ port: sluice.httpsPort, host: '127.0.0.1', ...raw });
  cleanups.push(() => passed.destroy());
  await within(once(passed, 'secureConnect'), 'the handshake');
  assert.equal(namesOf(passed), 'DNS:raw.test');
});

/** What a TLS client sends first. */
async function firstFlight(servername: string): Promise<Buffer> {
  const backend = await TcpBackend.start();
  const client = connectTls({ port: backend.port, host: '127.0.0.1', servername });
  client.on('error', () => undefined);
  const connection = await backend.connection(0);
  await waitUntil(
    () => connection.received.length > 5 && connection.received.length >= 5 + connection.received.readUInt16BE(3),
    'a ClientHello',
  );
  const bytes = Buffer.from(connection.received);
  client.destroy();
  backend.close();
  return bytes;
}

test('a ClientHello may drip, and may be cut into records', async () => {
  const recorder = await recorderThatAnswers();
  const backend = await TcpBackend.start();
  cleanups.push(() => backend.close());
  const fleet = await fleetWith(rows(recorder, backend.port));
  const port = fleet.ports().get('https') ?? 0;
  const hello = await firstFlight('raw.test');
  const message = hello.subarray(5);
  const cut = Buffer.concat(
    [message.subarray(0, 2), message.subarray(2, 90), message.subarray(90)].flatMap((piece) => [
      Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]),
      piece,
    ]),
  );
  for (const [i, bytes] of [hello, cut].entries()) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    cleanups.push(() => socket.destroy());
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const connection = await backend.connection(i);
    assert.deepEqual(await connection.bytes(bytes.length), bytes);
  }
  const terminated = await firstFlight('term.test');
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  cleanups.push(() => socket.destroy());
  for (const byte of terminated) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [flight] = (await within(once(socket, 'data'), 'the ServerHello')) as [Buffer];
  assert.equal(flight[0], 22);
});

test('what is no TLS gets the answer that TLS has for it, and a silent client is not waited for', async () => {
  const [recorder, backend] = [await recorderThatAnswers(), await TcpBackend.start()];
  cleanups.push(() => backend.close());
  const fleet = await fleetWith(rows(recorder, backend.port), { limits: Limits.parse({ handshakeMs: 500 }) });
  const port = fleet.ports().get('https') ?? 0;
  const plain = await RawClient.open({ port });
  plain.send(get('/', 'raw.test'));
  await waitUntil(() => plain.isDone, 'the plain client to be turned away');
  assert.doesNotMatch(plain.received.toString('latin1'), /HTTP/);
  const silent = [Buffer.alloc(0), Buffer.from('160301020001', 'hex'), await firstFlight('term.test')];
  const pids = fleet.state().workerPids;
  for (const sent of silent) assert.match(await endOf(port, sent), /ECONNRESET|FIN/);
  assert.deepEqual(fleet.state().workerPids, pids);
  // On a busy machine an honest handshake may take longer, too.
  await eventually(async () => {
    const tls = { servername: 'term.test' };
    const answered = await exchange({ port, tls }, get('/', 'term.test')).catch(() => undefined);
    return answered?.status === 200 || undefined;
  }, 'who says something to be served');
  assert.equal(backend.connections.length, 0);
});

test('names come to passthrough and go from it while the port stays', async () => {
  const [recorder, backend] = [await recorderThatAnswers(), await tlsBackend()];
  const table = rows(recorder, portOf(backend));
  const without = table.filter(({ kind }) => kind !== 'l4route');
  const fleet = await fleetWith(without);
  const port = fleet.ports().get('https');
  assert.equal(namesOf(await secure(fleet, { servername: 'raw.test' })), 'DNS:term.test');
  await put(fleet, table);
  const raw = await secure(fleet, { servername: 'raw.test' });
  assert.equal(namesOf(raw), 'DNS:raw.test');
  await put(fleet, without);
  assert.equal(namesOf(await secure(fleet, { servername: 'raw.test' })), 'DNS:term.test');
  await echoed(raw, Buffer.from('still here'));
  assert.equal(fleet.ports().get('https'), port);
});

test('behind a PROXY header: its client is known to terminated requests, and told to the passthrough backend', async () => {
  const recorder = await recorderThatAnswers();
  const backend = await TcpBackend.start();
  cleanups.push(() => backend.close());
  const proxyProtocol = { sources: ['127.0.0.0/8'], timeoutMs: 10_000 };
  const fleet = await fleetWith(
    rows(recorder, backend.port, { listener: { proxyProtocol }, route: { sendProxyProtocol: 'v1' } }),
  );
  const port = fleet.ports().get('https') ?? 0;
  const line = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 8443\r\n';

  for (const servername of ['term.test', 'raw.test']) {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    socket.write(line);
    const client = connectTls({ socket, servername, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    client.on('error', () => undefined);
    cleanups.push(() => client.destroy());
    if (servername === 'raw.test') {
      const connection = await backend.connection(0);
      assert.equal((await connection.bytes(line.length + 3)).toString('latin1', 0, line.length + 1), `${line}\x16`);
      continue;
    }
    await within(once(client, 'secureConnect'), 'the handshake');
    client.write(get('/', 'term.test'));
    const request = await recorder.request();
    assert.equal(fieldValue(request, 'x-forwarded-for'), '192.0.2.7');
    assert.equal(fieldValue(request, 'x-forwarded-proto'), 'https');
    assert.equal(fieldValue(request, 'x-forwarded-port'), '8443');
  }
  await assert.rejects(exchange({ port, tls: { servername: 'term.test' } }, get('/', 'term.test')), /./);
});

test('a tcp listener goes by server names, too; what has none of them is reset', async () => {
  const [first, second] = [await tlsBackend(), await tlsBackend({ ALPNProtocols: ['second'] })];
  const route = (id: string, hostnames: string[]) =>
    row('l4route', { id, listenerIds: ['https'], hostnames, backends: [{ backendId: id, weight: 1 }] });
  const table = [
    row('listener', { id: 'https', protocol: 'tcp' }),
    route('first', ['first.test']),
    route('second', ['*.test']),
    ...backendRows('first', portOf(first)),
    ...backendRows('second', portOf(second)),
  ];
  const fleet = await fleetWith(table);
  const alpn = { ALPNProtocols: ['second', 'echo'] };
  assert.equal((await secure(fleet, { servername: 'first.test', ...alpn })).alpnProtocol, 'echo');
  assert.equal((await secure(fleet, { servername: 'other.test', ...alpn })).alpnProtocol, 'second');
  const port = fleet.ports().get('https') ?? 0;
  for (const bytes of [await firstFlight('a.b.example'), await firstFlight(''), Buffer.from('SSH-2.0-x\r\n')]) {
    assert.equal(await endOf(port, bytes), 'ECONNRESET');
  }
});

test('a client that goes away in the middle of anything hurts nobody', async () => {
  const [recorder, backend] = [await recorderThatAnswers(), await tlsBackend()];
  const fleet = await fleetWith(rows(recorder, portOf(backend)), { workers: 1 });
  const port = fleet.ports().get('https') ?? 0;
  const hellos = [await firstFlight('raw.test'), await firstFlight('term.test')];
  for (let i = 0; i < 40; i++) {
    const hello = hellos[i % 2] as Buffer;
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(hello.subarray(0, 1 + ((i * 37) % hello.length)), () => {
      if (i % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    });
    await within(once(socket, 'close'), 'the client to be gone');
  }
  const pids = fleet.state().workerPids;
  await echoed(await secure(fleet, { servername: 'raw.test' }), Buffer.from('hello'));
  assert.equal((await exchange({ port, tls: { servername: 'term.test' } }, get('/', 'term.test'))).status, 200);
  assert.deepEqual(fleet.state().workerPids, pids);
});
