import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { Encoder } from '../../proxy/frame/encoder.ts';
import { Attack, type AttackOptions } from '../kit/attack.ts';
import { h2Preface } from '../kit/attacks.ts';
import { certificateFor } from '../kit/certificate.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { childrenOf, mostResidentBytes, residentBytes } from '../kit/procfs.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const mib = 1 << 20;
const limit = 224 * mib;
/** What comes between two looks at memory, and while what is freed is not used again. */
const tolerance = 8 * mib;

/** Bytes that do not compress to nothing, the same for all: a thousand copies would be the flood that is measured. */
const large = Buffer.alloc(4 * mib);
for (let at = 0, state = 1; at < large.length; at++) {
  state = (state * 48_271) % 2_147_483_647;
  large[at] = 32 + (state % 90);
}
const webSocketFrame = Buffer.concat([Buffer.from([0x82, 126, 0xff, 0xff]), large.subarray(0, 65_535)]);
const webSocketFields = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';

let backend: Server;
let sluice: Standalone;
let certificate: Awaited<ReturnType<typeof certificateFor>>;
let tcpPort = 0;

before(async () => {
  certificate = await certificateFor(['gw.test']);
  backend = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
    if (request.url === '/sink') return;
    response.setHeader('Content-Type', 'text/plain');
    if (request.url === '/large') for (let times = 0; times < 4; times++) response.write(large);
    response.end('ok');
  });
  backend.on('upgrade', ({ headers }, socket: Socket) => {
    const accept = createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.on('error', () => undefined);
    socket.write(
      `HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    );
    for (let sent = 0; sent < 4 * large.length; sent += webSocketFrame.length) socket.write(webSocketFrame);
  });
  backend.listen(0, '127.0.0.1', 4_096);
  await once(backend, 'listening');
});

/** A worker each: what one attack has left is not the next one's. */
beforeEach(async () => {
  sluice = await start(limit, {});
});

async function start(memoryBytes: number, environment: Readonly<Record<string, string>>): Promise<Standalone> {
  const secret = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque' };
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap' };
  [tcpPort = 0] = await freePorts(1);
  const config = { 'enable-brotli': 'true', 'brotli-types': '*' };
  return await Standalone.start({
    environment,
    manifests: [
      ingressClass(),
      tlsSecret('cert', certificate),
      ingress({
        ...{ name: 'all', host: 'gw.test', paths: { '/': 'web' }, tlsSecret: 'cert' },
        annotations: { 'proxy-body-size': '0', 'ssl-redirect': 'false', 'proxy-read-timeout': '3600' },
      }),
      { ...secret, metadata: { name: 'root', namespace: 'default' }, stringData: { 'ca.crt': certificate.cert } },
      ingress({
        ...{ name: 'shown', host: 'shown.test', paths: { '/': 'web' }, tlsSecret: 'cert' },
        annotations: { 'auth-tls-secret': 'default/root', 'auth-tls-verify-client': 'optional_no_ca' },
      }),
      ...service('web', [(backend.address() as AddressInfo).port]),
      { ...configMap, metadata: { name: 'config', namespace: 'default' }, data: config },
      { ...configMap, metadata: { name: 'tcp', namespace: 'default' }, data: { [tcpPort]: 'default/web:80' } },
    ],
    // Who is turned away because others wait is not there to fill the worker; nor is who is given up for his slowness.
    args: [
      ...['--limit-memory-bytes', `${memoryBytes}`, '--limit-overload-ms', '0', '--limit-head-ms', '3600000'],
      ...['--limit-handshakes', '10000', '--limit-handshake-ms', '3600000'],
      ...['--configmap', 'default/config', '--tcp-services-configmap', 'default/tcp'],
    ],
  });
}

afterEach(async () => {
  await sluice?.stop();
});

after(() => {
  backend?.close();
  backend?.closeAllConnections();
});

async function ask(): Promise<number | undefined> {
  return (await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined))?.status;
}

/** Answers that were ended for want of memory, and connections that were turned away for it. */
async function sheds(): Promise<number> {
  const page = await sluice.admin('/metrics');
  const counts = page.matchAll(/^sluice_\S+_total\{(?:\S+,)?(?:flag="OM"|reason="memory")\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

type Attackers = Pick<AttackOptions, 'connections' | 'behave' | 'isTls' | 'handshake'>;

/** Asks and reads nothing. */
function unread(text: string): Attackers {
  return {
    connections: 5_000,
    behave(socket) {
      socket.write(text);
      socket.pause();
      return undefined;
    },
  };
}

/** As many clients as fill the worker. */
async function survived(attackers: Attackers, port = sluice.httpPort, mostBytes = limit): Promise<void> {
  const [worker = 0] = childrenOf(sluice.process.pid);
  assert.equal(await ask(), 200);
  const attack = Attack.start({
    port,
    from: Array.from({ length: 32 }, (_, nth) => `127.0.66.${nth + 1}`),
    ...attackers,
  });
  try {
    await eventually(
      async () => ((await sheds()) > 0 ? true : undefined),
      'connections to be ended for want of memory',
    );
  } finally {
    attack.stop();
  }
  await eventually(async () => {
    // While it waits for a backend to read on, a client that has gone is not noticed; some come to the backend only now.
    backend.closeAllConnections();
    return (await ask()) === 200 && residentBytes(worker) < mostBytes * 0.8 ? true : undefined;
  }, 'others to be served, and what was freed to be given back');
  assert.ok(mostResidentBytes(worker) <= mostBytes + tolerance, `${mostResidentBytes(worker) >> 20} MiB`);
  assert.equal(childrenOf(sluice.process.pid)[0], worker, 'the same worker');
}

test('answers that nobody reads hold the limit of memory, however many come in one turn, and what they had is given back', async () => {
  await survived(unread(get('/large', 'gw.test')));
});

test('so do answers that are compressed, for compressors have more than is counted', async () => {
  await survived(unread(`GET /large HTTP/1.1\r\nHost: gw.test\r\nAccept-Encoding: br\r\n\r\n`));
});

test('so do WebSockets', async () => {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  await survived(unread(`GET /ws HTTP/1.1\r\nHost: gw.test\r\n${webSocketFields}${key}\r\n`));
});

/** Asks and sends much, which the backend does not read. */
function uploading(connections: number, body = large): Attackers {
  return {
    connections,
    behave(socket) {
      socket.write(`POST /sink HTTP/1.1\r\nHost: gw.test\r\nContent-Length: ${large.length}\r\n\r\n`);
      socket.write(body);
      return undefined;
    },
  };
}

// The fewer fill it when their backend is there and they go on, the others before.
for (const connections of [3_500, 5_000]) {
  test(`so do ${connections} uploads that the backend does not read, whose beginnings are kept until it is there`, async () => {
    await survived(uploading(connections));
  });
}

test('so do uploads over TLS, for which Node takes room that nobody counts and that comes free late', async () => {
  await survived({ ...uploading(1_500), isTls: true }, sluice.httpsPort);
});

test('so do clients that show many certificates, which OpenSSL keeps', async () => {
  const shown = await certificateFor(Array.from({ length: 60 }, (_, nth) => `n${nth}.a-name-that-is-not-short.test`));
  const secureContext = createSecureContext({ key: shown.key, cert: `${shown.cert}\n`.repeat(40) });
  await survived(
    {
      ...sending(900, Buffer.from(get('/sink', 'shown.test'))),
      ...{ isTls: true, handshake: { servername: 'shown.test', secureContext } },
    },
    sluice.httpsPort,
  );
});

test('so do TCP flows that have room to read much into, and send no more', async () => {
  await survived(uploading(7_500, large.subarray(0, 30_000)), tcpPort);
});

/** The beginning of a connection of HTTP/2 that has requests at once, and no window for an answer. */
function withoutWindow(authority: string, count: number): Buffer {
  const lines = [':method: GET', ':scheme: http', ':path: /', `:authority: ${authority}`];
  const encoder = new Encoder();
  const requests = Array.from({ length: count }, (_, nth) => {
    const block = Buffer.alloc(1_024);
    const end = lines.reduce((at, line) => encoder.field(block, at, line, line.indexOf(':', 1)), 0);
    return frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 2 * nth + 1, block.subarray(0, end));
  });
  return Buffer.concat([Buffer.from(h2Preface(`\0\x04\0\0\0\0`), 'latin1'), ...requests]);
}

function sending(connections: number, bytes: Buffer): Attackers {
  return {
    connections,
    behave(socket) {
      socket.write(bytes);
      return undefined;
    },
  };
}

test('so do requests of HTTP/2, of which one turn may bring tens of thousands', async () => {
  await survived(sending(1_000, withoutWindow('gw.test', 100)));
});

// Those that come late keep less: 750 connections fill it with answers alone.
test('so do short answers for which there is no window', async () => {
  await survived(sending(1_000, withoutWindow('nobody.test', 100)));
});

/** Requests that wait for their answers, whose heads are long and take a few bytes each: of a field that was sent once. */
function longHeads(count: number): Buffer {
  const start = Buffer.from('\x82\x86\x01\x07gw.test\x04\x05/sink', 'latin1');
  // Literal, and kept by the peer (RFC 7541 §6.2.1): 127 and 30 times 128 bytes.
  const field = Buffer.from(`\x40\x01x\x7f\x80\x1e${'a'.repeat(127 + 30 * 128)}`, 'latin1');
  const again = Buffer.alloc(8, 0xbe);
  const requests = Array.from({ length: count }, (_, nth) => {
    const block = Buffer.concat([start, nth === 0 ? field : again]);
    return frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 2 * nth + 1, block);
  });
  return Buffer.concat([Buffer.from(h2Preface(''), 'latin1'), ...requests]);
}

test('so do those whose heads are long, however little of them is sent', async () => {
  await survived(sending(600, longHeads(100)));
});

// V8 lets its heap be half of a container, and ends the process where it is more; what there was room for was no help to it.
test('and those do not fill the heap either, where it may be less than the limit', async () => {
  await sluice.stop();
  sluice = await start(4 * limit, { NODE_OPTIONS: `--max-old-space-size=${limit / mib}` });
  await survived(sending(600, longHeads(100)), sluice.httpPort, 2 * limit);
});

test('so does what comes all at once behind requests that wait for their answers', async () => {
  const sockets: Socket[] = [];
  await survived({
    connections: 6_000,
    behave(socket) {
      socket.write(get('/sink', 'gw.test'));
      if (sockets.push(socket) === 6_000) for (const each of sockets) each.write(large.subarray(0, 60_000));
      return undefined;
    },
  });
});

const piece = Buffer.alloc(16_000, '\x40');

test('so do field blocks that never end', async () => {
  const block = [frame(frameTypes.headers, 0, 3, piece), ...Array(3).fill(frame(frameTypes.continuation, 0, 3, piece))];
  await survived(sending(4_000, Buffer.concat([withoutWindow('nobody.test', 1), ...block])));
});

test('so do frames that never end, little as each has', async () => {
  const begun = frame(frameTypes.headers, 0, 3, piece).subarray(0, 8_000);
  await survived(sending(9_000, Buffer.concat([withoutWindow('nobody.test', 1), begun])));
});

const longFields = Array.from({ length: 3 }, (_, nth) => `X-${nth}: ${'a'.repeat(10_000)}\r\n`).join('');

function attackers(options: Attackers & Pick<AttackOptions, 'perSecond'>): Attack {
  const from = Array.from({ length: 32 }, (_, nth) => `127.0.66.${nth + 1}`);
  return Attack.start({ port: sluice.httpPort, from, ...options });
}

test('heads that never end keep nobody from being served while they wait', async () => {
  const heads = sending(4_900, Buffer.from(`GET / HTTP/1.1\r\nHost: gw.test\r\n${longFields}`));
  const attack = attackers(heads);
  try {
    await eventually(
      async () => (attack.connected + attack.turnedAway === 4_900 && (await sheds()) > 0 ? true : undefined),
      'the heads to fill the worker',
    );
    await eventually(async () => ((await ask()) === 200 ? true : undefined), 'others to be served');
    assert.ok(attack.open > 1_000, `${attack.open} wait`);
  } finally {
    attack.stop();
  }
});

test('nor do requests with long heads that wait for their answers, whose clients come again and again', async () => {
  const request = Buffer.from(`GET /sink HTTP/1.1\r\nHost: gw.test\r\n${longFields}\r\n`);
  const attack = attackers({ ...sending(6_000, request), perSecond: 1_200 });
  try {
    await eventually(async () => ((await sheds()) > 0 ? true : undefined), 'the requests to fill the worker');
    let served = 0;
    await eventually(async () => {
      served = (await ask()) === 200 ? served + 1 : 0;
      return served === 5 ? true : undefined;
    }, 'others to be served, five in a row');
  } finally {
    attack.stop();
  }
});
