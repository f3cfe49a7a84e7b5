import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { Attack, type AttackOptions } from '../kit/attack.ts';
import { h2Preface } from '../kit/attacks.ts';
import { certificateFor } from '../kit/certificate.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf, mostResidentBytes } from '../kit/procfs.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const mib = 1 << 20;

/**
 * They answer `ok`, with trailers where one asks for `/trailers`, but to those who ask for `/sink`, who wait, and for `/endless`, who
 * get a head without an end.
 */
let plain: Server;
let secure: Server;
/** It takes connections, and that is all. */
let mute: NetServer;
let sluice: Standalone;
let attack: Attack | undefined;

before(async () => {
  const answer: RequestListener = (request, response) => {
    if (request.url === '/sink') return;
    if (request.url === '/endless') {
      request.socket.write(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(60_000)}`);
      return;
    }
    if (request.url === '/trailers') {
      response.write('ok');
      response.addTrailers({ X: 'a'.repeat(7_900) });
    }
    response.end('ok');
  };
  const certificate = await certificateFor(['backend.test']);
  const limits = { maxHeaderSize: 65_536, requestTimeout: 0, headersTimeout: 0 };
  plain = createServer(limits, answer);
  secure = createTlsServer({ ...limits, key: certificate.key, cert: certificate.cert }, answer);
  mute = createNetServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
  });
  for (const server of [plain, secure, mute]) {
    server.listen(0, '127.0.0.1', 4_096);
    await once(server, 'listening');
  }
});

afterEach(async () => {
  attack?.stop();
  await sluice?.stop();
  plain.closeAllConnections();
  secure.closeAllConnections();
});

after(() => {
  plain?.close();
  secure?.close();
  mute?.close();
});

async function begin(
  limitMib: number,
  options: Pick<AttackOptions, 'connections' | 'perSecond'>,
  bytes: Buffer | string,
  afterSettings: Buffer | null = null,
) {
  const port = (server: NetServer) => [(server.address() as AddressInfo).port];
  const annotations = { 'proxy-body-size': '0', 'proxy-read-timeout': '3600' };
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'plain', host: 'gw.test', paths: { '/': 'plain' }, annotations }),
      ingress({
        ...{ name: 'secure', host: 'secure.test', paths: { '/': 'secure' } },
        annotations: { ...annotations, 'backend-protocol': 'HTTPS' },
      }),
      ingress({
        ...{ name: 'mute', host: 'mute.test', paths: { '/': 'mute' } },
        annotations: { ...annotations, 'backend-protocol': 'GRPCS', 'proxy-connect-timeout': '3600' },
      }),
      ...service('mute', port(mute)),
      ...service('plain', port(plain)),
      ...service('secure', port(secure)),
    ],
    // Who is turned away because others wait is not there to fill the worker; nor is who is given up for his slowness.
    args: [
      ...['--limit-memory-bytes', `${limitMib * mib}`, '--limit-overload-ms', '0'],
      ...['--limit-body-idle-ms', '3600000', '--limit-body-bytes-per-second', '0'],
    ],
  });
  return () => {
    attack = Attack.start({
      port: sluice.httpPort,
      from: Array.from({ length: 32 }, (_, nth) => `127.0.68.${nth + 1}`),
      ...options,
      behave(socket) {
        socket.write(bytes);
        if (afterSettings !== null) onSettingsTaken(socket, () => socket.write(afterSettings));
        return undefined;
      },
    });
    return attack;
  };
}

function onSettingsTaken(socket: Socket, act: () => void): void {
  const acknowledgement = frame(frameTypes.settings, frameFlags.ack, 0, Buffer.alloc(0));
  let heard = Buffer.alloc(0);
  socket.on('data', function hear(bytes: Buffer) {
    heard = Buffer.concat([heard, bytes]);
    if (!heard.includes(acknowledgement)) return;
    socket.off('data', hear);
    act();
  });
}

async function ask(): Promise<number | undefined> {
  return (await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined))?.status;
}

/** Requests that were ended, or never let in, for want of memory. */
async function sheds(): Promise<number> {
  const counts = (await sluice.admin('/metrics')).matchAll(
    /^sluice_http_responses_flagged_total\{flag="OM"\} (\d+)$/gm,
  );
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Those who hold memory are ended while the attack lasts, and others are served. */
async function othersAreServed(): Promise<void> {
  await eventually(async () => ((await sheds()) > 0 ? true : undefined), 'requests to be ended for want of memory');
  let served = 0;
  await eventually(async () => {
    served = (await ask()) === 200 ? served + 1 : 0;
    return served === 5 ? true : undefined;
  }, 'others to be served, five in a row');
}

const sink = 'GET /sink HTTP/1.1\r\nHost: gw.test\r\n\r\n';

test('TLS to backends counts for memory, and for the requests that it is for', async () => {
  const start = await begin(224, { connections: 4_000, perSecond: 400 }, sink.replace('gw', 'secure'));
  const [worker = 0] = childrenOf(sluice.process.pid);
  start();
  await othersAreServed();
  // Handshakes that are going on when memory is looked at take more by then than they had.
  assert.ok(mostResidentBytes(worker) <= 256 * mib, `${mostResidentBytes(worker) >> 20} MiB`);
});

test('so do the two connections of a request that waits, little as it says', async () => {
  const start = await begin(160, { connections: 9_000 }, sink);
  start();
  await othersAreServed();
});

const beforeTrailers = 'POST /sink HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n';
const trailers = `X: ${'a'.repeat(7_900)}`;

for (const [name, end] of [
  ['whose request waits for its answer', '\r\n\r\n'],
  ['whose end does not come', ''],
] as const) {
  test(`so do trailers ${name}`, async () => {
    const start = await begin(224, { connections: 9_000 }, `${beforeTrailers}${trailers}${end}`);
    start();
    await othersAreServed();
  });
}

const endless = sink.replace('/sink', '/endless');

test('so does the head of an answer whose end does not come', async () => {
  const start = await begin(224, { connections: 4_000 }, endless);
  const [worker = 0] = childrenOf(sluice.process.pid);
  start();
  await othersAreServed();
  assert.ok(mostResidentBytes(worker) <= 256 * mib, `${mostResidentBytes(worker) >> 20} MiB`);
});

test('and not who holds less than that is ended for it', async () => {
  const start = await begin(224, { connections: 9_000, perSecond: 500 }, endless);
  const honest = await RawClient.open({ port: sluice.httpPort });
  honest.send(sink.replace('\r\n\r\n', `\r\nX: ${'a'.repeat(4_000)}\r\n\r\n`));
  start();
  await othersAreServed();
  assert.ok(!honest.isEnded && !honest.isClosed);
  honest.destroy();
});

/** A connection of HTTP/2 with requests, each with as many fields as `block` says behind what they share. */
function requests(paths: readonly string[], first: Buffer, block: Buffer, settings = '', host = 'gw.test'): Buffer {
  const flags = frameFlags.endHeaders | frameFlags.endStream;
  const frames = paths.map((path, nth) => {
    const length = (text: string) => String.fromCharCode(text.length);
    const start = Buffer.from(`\x82\x86\x04${length(path)}${path}\x01${length(host)}${host}`, 'latin1');
    return frame(frameTypes.headers, flags, 2 * nth + 1, Buffer.concat([start, nth === 0 ? first : block]));
  });
  return Buffer.concat([Buffer.from(h2Preface(settings), 'latin1'), ...frames]);
}

function sinks(count: number): string[] {
  return Array<string>(count).fill('/sink');
}

/** A field that enters the table (RFC 7541 §6.2.1), shorter than 127 bytes or 3,900 bytes long. */
function added(value: string): Buffer {
  const length = value.length < 127 ? [value.length] : [0x7f, 0xbd, 0x1d];
  return Buffer.concat([Buffer.from([0x40, 1, 0x78, ...length]), Buffer.from(value)]);
}

test('of HTTP/2 those are ended first whose heads are long, and not who has more requests', async () => {
  // From the second on a byte is 4 KB (RFC 7541 §6.1).
  const long = requests(sinks(10), added('a'.repeat(3_900)), Buffer.alloc(7, 0xbe));
  const start = await begin(224, { connections: 600 }, long);
  const nothing = Buffer.alloc(0);
  const honest = await RawClient.open({ port: sluice.httpPort });
  honest.send(requests(sinks(20), nothing, nothing));
  start();
  await othersAreServed();
  assert.ok(!honest.isEnded && !honest.isClosed);
  honest.destroy();
});

test('what has left the table of an HTTP/2 connection takes nothing: two hundred of those kept everybody else from being served', async () => {
  const long = Buffer.concat(Array<Buffer>(4).fill(added('a'.repeat(3_900))));
  const start = await begin(
    224,
    { connections: 300, perSecond: 40 },
    requests([...Array<string>(31).fill('/'), '/sink'], long, long),
  );
  const flood = start();
  await eventually(async () => (flood.connected + flood.turnedAway >= 300 ? true : undefined), 'all to be connected');
  // More of them than there would be memory for.
  await eventually(async () => ((await ask()) === 200 ? true : undefined), 'others to be served');
  assert.equal(flood.ended, 0);
});

test('and what is in it, however short, little more than its bytes', async () => {
  const short = Buffer.concat(Array.from({ length: 95 }, (_, nth) => added(`${1_000 + nth}`)));
  const start = await begin(224, { connections: 6_000 }, requests(sinks(1), short, short));
  const [worker = 0] = childrenOf(sluice.process.pid);
  start();
  await othersAreServed();
  assert.ok(mostResidentBytes(worker) <= 256 * mib, `${mostResidentBytes(worker) >> 20} MiB`);
});

test('TLS to backends counts before it has taken anything: thousands may be wanted within a turn', async () => {
  const nothing = Buffer.alloc(0);
  const start = await begin(224, { connections: 50 }, requests(sinks(100), nothing, nothing, '', 'secure.test'));
  const [worker = 0] = childrenOf(sluice.process.pid);
  start();
  await othersAreServed();
  assert.ok(mostResidentBytes(worker) <= 240 * mib, `${mostResidentBytes(worker) >> 20} MiB`);
});

test('who has filled memory is turned away as long as he comes back; others are served', async () => {
  const long = requests(sinks(100), added('a'.repeat(3_900)), Buffer.alloc(7, 0xbe));
  // Each has 2.7 MB read: of three times as many a worker on a slow machine reads nothing else, and one request takes seconds.
  const start = await begin(224, { connections: 10_000, perSecond: 20 }, long);
  const flood = start();
  // Until then memory may be out for a moment, for everybody.
  await waitUntil(() => flood.ended > 64, 'each of their addresses to be known');
  const statuses = new Set<number | undefined>();
  while (flood.ended < 200) statuses.add(await ask());
  assert.deepEqual([...statuses], [200]);
  assert.match(await sluice.admin('/metrics'), /^sluice_connections_turned_away_total\{reason="memory"\} [1-9]/m);
});

/** Those who hold much are ended, and not who holds less, and others are served again. */
async function endsBefore(flood: Attack, honest: RawClient): Promise<void> {
  await eventually(async () => (flood.ended > 0 ? true : undefined), 'attackers to be ended');
  await eventually(async () => ((await ask()) === 200 ? true : undefined), 'others to be served');
  assert.ok(!honest.isEnded && !honest.isClosed);
  honest.destroy();
}

test('trailers of answers that no window is there for count', async () => {
  const nothing = Buffer.alloc(0);
  const unread = requests(Array<string>(60).fill('/trailers'), nothing, nothing, '\0\x04\0\0\0\0');
  const start = await begin(224, { connections: 400, perSecond: 50 }, unread);
  const honest = await RawClient.open({ port: sluice.httpPort });
  honest.send(requests(sinks(90), nothing, nothing));
  await endsBefore(start(), honest);
});

test('so do trailers of requests that wait behind a body which nobody takes', async () => {
  const ids = Array.from({ length: 60 }, (_, nth) => 2 * nth + 1);
  const head = Buffer.from('\x83\x86\x84\x01\x09mute.test', 'latin1');
  const begun = ids.flatMap((id) => [
    frame(frameTypes.headers, frameFlags.endHeaders, id, head),
    frame(frameTypes.data, 0, id, Buffer.from('a')),
  ]);
  const flags = frameFlags.endHeaders | frameFlags.endStream;
  const fields = ids.map((id, nth) =>
    frame(frameTypes.headers, flags, id, nth === 0 ? added('a'.repeat(3_900)) : Buffer.alloc(7, 0xbe)),
  );
  const bytes = Buffer.concat([Buffer.from(h2Preface(''), 'latin1'), ...begun]);
  const start = await begin(224, { connections: 600, perSecond: 50 }, bytes, Buffer.concat(fields));
  const honest = await RawClient.open({ port: sluice.httpPort });
  const nothing = Buffer.alloc(0);
  honest.send(requests(sinks(90), nothing, nothing));
  await endsBefore(start(), honest);
});
