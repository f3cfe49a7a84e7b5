import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { isForwardable, NameResolver } from '../../proxy/receive/resolve.ts';
import type { Endpoints } from '../../proxy/table/backend.ts';
import { metadataAddresses } from '../../proxy/table/metadata.ts';
import type { Problem } from '../../proxy/table/problem.ts';

test('all addresses of both families, in a row that is otherwise the same', async (t) => {
  const server = await nameServer(t, {
    'db.example.com/A': { ttl: 300, data: ['10.0.0.2', '10.0.0.1'] },
    'db.example.com/AAAA': { ttl: 300, data: ['fd00::1'] },
  });
  const { resolver, next } = open(t, server.address);
  const row = rowOf('ns/db/5432', 'db.example.com');
  resolver.track(new Map([[row.id, row]]));
  const { row: filled, problems } = await next();
  assert.deepEqual(
    filled.endpoints.map(({ address, port, uid, ready }) => [address, port, uid, ready]),
    [
      ['10.0.0.1', 80, '10.0.0.1:80', true],
      ['10.0.0.2', 80, '10.0.0.2:80', true],
      ['fd00::1', 80, '[fd00::1]:80', true],
    ],
  );
  assert.deepEqual({ ...filled, endpoints: [] }, row);
  assert.deepEqual(problems, []);
  assert.deepEqual(resolver.filled(row), filled);
});

test('asks again after the TTL, and tells only of changes', async (t) => {
  const server = await nameServer(t, { 'a.example.com/A': { ttl: 0, data: ['10.0.0.1'] } });
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['r', rowOf('r', 'a.example.com')]]));
  assert.deepEqual(addresses((await next()).row), ['10.0.0.1']);
  await server.asked('a.example.com/A', 2);
  server.zone['a.example.com/A'] = { ttl: 0, data: ['10.0.0.9'] };
  assert.deepEqual(addresses((await next()).row), ['10.0.0.9']);
});

test('keeps the last addresses when the name server fails, and says so', async (t) => {
  const server = await nameServer(t, { 'a.example.com/A': { ttl: 0, data: ['10.0.0.1'] } });
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['r', rowOf('r', 'a.example.com')]]));
  await next();
  server.zone['a.example.com/A'] = 'SERVFAIL';
  server.zone['a.example.com/AAAA'] = 'SERVFAIL';
  const failed = await next();
  assert.deepEqual(addresses(failed.row), ['10.0.0.1']);
  assert.deepEqual(
    failed.problems.map(({ code, severity, source }) => [code, severity, source.name]),
    [['ExternalNameUnresolved', 'warning', 'r']],
  );
  server.zone['a.example.com/A'] = { ttl: 0, data: ['10.0.0.2'] };
  const healed = await next();
  assert.deepEqual(addresses(healed.row), ['10.0.0.2']);
  assert.deepEqual(healed.problems, []);
});

test('a name that does not exist is a problem, and found when it begins to exist', async (t) => {
  const server = await nameServer(t, {});
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['r', rowOf('r', 'nowhere.sluice-test.invalid')]]));
  const missing = await next();
  assert.deepEqual(missing.row.endpoints, []);
  assert.equal(missing.problems[0]?.severity, 'error');
  assert.match(missing.problems[0]?.message ?? '', /nowhere\.sluice-test\.invalid/);
  server.zone['nowhere.sluice-test.invalid/A'] = { ttl: 5, data: ['10.1.1.1'] };
  assert.deepEqual(addresses((await next()).row), ['10.1.1.1']);
});

test('refuses addresses that only this machine should reach', async (t) => {
  const server = await nameServer(t, {
    'evil.example.com/A': { ttl: 60, data: ['127.0.0.1', '169.254.169.254', '10.0.0.1'] },
    'evil.example.com/AAAA': { ttl: 60, data: ['::1', 'fe80::1', '::ffff:127.0.0.1'] },
  });
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['r', rowOf('r', 'evil.example.com')]]));
  const { row, problems } = await next();
  assert.deepEqual(addresses(row), ['10.0.0.1']);
  assert.equal(problems[0]?.code, 'ExternalNameRefused');
  assert.match(problems[0]?.message ?? '', /169\.254\.169\.254/);
});

test('two rows share one name; a row that comes later has its addresses at once', async (t) => {
  const server = await nameServer(t, { 'a.example.com/A': { ttl: 300, data: ['10.0.0.1'] } });
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['one', rowOf('one', 'a.example.com')]]));
  await next();
  const two = { ...rowOf('two', 'a.example.com'), dns: { name: 'a.example.com', port: 8080 } };
  resolver.track(new Map([['two', two]]));
  assert.deepEqual(
    resolver.filled(two).endpoints.map((endpoint) => endpoint.uid),
    ['10.0.0.1:8080'],
  );
  assert.equal(server.count('a.example.com/A'), 1);
});

test('names of the hosts file and literal addresses need no name server', async (t) => {
  const server = await nameServer(t, {});
  const { resolver, next } = open(t, server.address, { canUseLoopback: true });
  resolver.track(new Map([['r', rowOf('r', 'localhost')]]));
  const local = addresses((await next()).row);
  assert.ok(local.includes('127.0.0.1') || local.includes('::1'), `${local}`);
  resolver.track(new Map([['s', rowOf('s', '10.9.8.7')]]));
  assert.deepEqual(addresses((await next()).row), ['10.9.8.7']);
});

test('a row that went is not told of any more', async (t) => {
  const server = await nameServer(t, {
    'a.example.com/A': { ttl: 0, data: ['10.0.0.1'] },
    'b.example.com/A': { ttl: 0, data: ['10.0.0.2'] },
  });
  const { resolver, next } = open(t, server.address);
  resolver.track(new Map([['r', rowOf('r', 'a.example.com')]]));
  resolver.track(new Map([['r', rowOf('r', 'b.example.com')]]));
  const told = await next();
  assert.deepEqual(addresses(told.row), ['10.0.0.2']);
  resolver.track(new Map([['r', null]]));
  resolver.track(new Map([['s', rowOf('s', 'a.example.com')]]));
  assert.equal((await next()).row.id, 's');
});

test('which addresses may be a backend', () => {
  for (const address of [
    '10.0.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '8.8.8.8',
    'fd12::1',
    '2001:db8::1',
    '64:ff9b::808:808',
  ]) {
    assert.equal(isForwardable(address, false), true, address);
  }
  const refused = ['127.9.9.9', '0.0.0.0', '169.254.0.1', '224.0.0.1', '255.255.255.255', '::', '::1'];
  refused.push('fe80::1', 'ff02::1', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe');
  refused.push(...metadataAddresses, '::ffff:168.63.129.16', 'fd20:00ce:0::0254', 'FD00:C1::A9FE:A9FE');
  for (const address of refused) assert.equal(isForwardable(address, false), false, address);
  assert.equal(isForwardable('127.0.0.1', true), true);
  assert.equal(isForwardable('169.254.169.254', true), false);
});

interface Told {
  row: Endpoints;
  problems: readonly Problem[];
}
type Zone = Record<string, { ttl: number; data: string[] } | 'SERVFAIL'>;
interface Context {
  after(callback: () => unknown): void;
}

function rowOf(id: string, name: string): Endpoints {
  const source = { kind: 'Service', namespace: 'ns', name: id };
  return { id, source, backendIds: [id], endpoints: [], dns: { name, port: 80 } };
}

function addresses(row: Endpoints): string[] {
  return row.endpoints.map((endpoint) => endpoint.address);
}

function open(t: Context, server: string, { canUseLoopback = false } = {}) {
  const told: Told[] = [];
  const waiting: ((told: Told) => void)[] = [];
  const resolver = new NameResolver({
    servers: [server],
    canUseLoopback,
    random: () => 0,
    onChange: (row) => {
      const now = { row, problems: resolver.problems() };
      const waiter = waiting.shift();
      if (waiter) waiter(now);
      else told.push(now);
    },
  });
  // The resolver's timers let the process end; a test that waits for one must not.
  const alive = setInterval(() => undefined, 1 << 30);
  t.after(() => {
    clearInterval(alive);
    resolver.close();
  });
  const next = (): Promise<Told> => {
    const first = told.shift();
    return first ? Promise.resolve(first) : new Promise((resolve) => waiting.push(resolve));
  };
  return { resolver, next };
}

/** A name server over UDP that knows its zone and nothing else (RFC 1035 §4.1). */
async function nameServer(t: Context, zone: Zone) {
  const socket = createSocket('udp4');
  const counts = new Map<string, number>();
  const waiting: { question: string; count: number; resolve: () => void }[] = [];
  socket.on('message', (query, peer) => {
    const question = answer(socket, peer, query, zone);
    counts.set(question, (counts.get(question) ?? 0) + 1);
    for (const waiter of waiting) if ((counts.get(waiter.question) ?? 0) >= waiter.count) waiter.resolve();
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return {
    zone,
    address: `127.0.0.1:${socket.address().port}`,
    count: (question: string) => counts.get(question) ?? 0,
    asked: (question: string, count: number) =>
      new Promise<void>((resolve) => {
        if ((counts.get(question) ?? 0) >= count) resolve();
        else waiting.push({ question, count, resolve });
      }),
  };
}

function answer(socket: Socket, peer: RemoteInfo, query: Buffer, zone: Zone): string {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length !== 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  const name = labels.join('.').toLowerCase();
  const question = `${name}/${type === 1 ? 'A' : 'AAAA'}`;
  const entry = zone[question];
  const isKnown = `${name}/A` in zone || `${name}/AAAA` in zone;
  const code = entry === 'SERVFAIL' ? 2 : isKnown ? 0 : 3;
  const records =
    entry === undefined || entry === 'SERVFAIL' ? [] : entry.data.map((data) => record(type, entry.ttl, data));
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...records]), peer.port, peer.address);
  return question;
}

function record(type: number, ttl: number, data: string): Buffer {
  const bytes = type === 1 ? Buffer.from(data.split('.').map(Number)) : sixteen(data);
  const fixed = Buffer.alloc(12);
  fixed.writeUInt16BE(0xc00c, 0);
  fixed.writeUInt16BE(type, 2);
  fixed.writeUInt16BE(1, 4);
  fixed.writeUInt32BE(ttl, 6);
  fixed.writeUInt16BE(bytes.length, 10);
  return Buffer.concat([fixed, bytes]);
}

function sixteen(address: string): Buffer {
  const mapped = /^::ffff:(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (mapped) return Buffer.from([...Array<number>(10).fill(0), 255, 255, ...mapped.slice(1).map(Number)]);
  const [left = '', right = ''] = address.split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const [head, tail] = [words(left), words(right)];
  const all = [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]));
}
