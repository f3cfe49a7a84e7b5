import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { ask, openPeer } from '../kit/h2peer.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let backend: Server;
let sockets: WebSocketServer;
let sluice: Standalone;
/** Messages that a backend has not answered. */
let heard = 0;
/** A backend that does not end when its client does. */
let stays: Duplex | null = null;

const upgradeFields = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==',
];

before(async () => {
  backend = createServer((_, response) => response.end('plain'));
  sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'chat' });
  backend.on('upgrade', (request, socket, head) => {
    if (request.url === '/stays') {
      stays = socket;
      socket.resume();
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          'Sec-WebSocket-Accept: BACScCJPNqyz+UBoqMH89VmURoA=\r\n\r\n',
      );
      return;
    }
    if (request.url === '/page') {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain');
      return;
    }
    if (request.url === '/refused') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (peer) => {
      peer.on('error', () => undefined);
      peer.on('message', (data, isBinary) => {
        if (request.url === '/listens') heard++;
        else peer.send(data, { binary: isBinary });
      });
      if (request.url === '/talks-first') peer.send('first');
    });
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const { port } = backend.address() as AddressInfo;
  sluice = await Standalone.start({
    args: ['--limit-half-close-ms', '100'],
    manifests: [
      ingressClass(),
      ingress({ name: 'ws', host: 'ws.test', paths: { '/': 'ws' } }),
      ingress({ name: 'idle', host: 'idle.test', paths: { '/': 'ws' }, annotations: { 'proxy-read-timeout': '1' } }),
      ingress({ name: 'quiet', host: 'quiet.test', paths: { '/': 'ws' }, annotations: { 'proxy-read-timeout': '2' } }),
      ...service('ws', [port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const peer of sockets.clients) peer.terminate();
  backend?.closeAllConnections();
  backend?.close();
});

function open(path = '/', host = 'ws.test'): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${sluice.httpPort}${path}`, ['chat'], { headers: { host } });
}

test('a WebSocket echoes text and binary frames, small and large, in order', async () => {
  const peer = open();
  await once(peer, 'open');
  assert.equal(peer.protocol, 'chat');
  const received: Buffer[] = [];
  peer.on('message', (data: Buffer) => received.push(data));
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];
  for (const size of sizes) peer.send(Buffer.alloc(size, size % 251));
  await waitUntil(() => received.length === sizes.length, 'all echoes');
  sizes.forEach((size, index) => {
    assert.ok(received[index]?.equals(Buffer.alloc(size, size % 251)), `echo of ${size} bytes`);
  });
  peer.close(4001, 'bye');
  const [code, reason] = await once(peer, 'close');
  assert.equal(code, 4001);
  assert.equal(String(reason), 'bye');
});

test('what the backend says together with its 101 is not lost', async () => {
  const peer = open('/talks-first');
  const [data] = await once(peer, 'message');
  assert.equal(String(data), 'first');
  peer.terminate();
});

test('frames sent together with the upgrade request reach the backend', async () => {
  const client = await RawClient.open({ port: sluice.httpPort });
  // A masked text frame `hi` with the mask 0.
  client.send(
    Buffer.concat([Buffer.from(get('/', 'ws.test', upgradeFields)), Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])]),
  );
  await waitUntil(() => client.received.includes(Buffer.from([0x81, 2, 0x68, 0x69])), 'the echo');
  assert.equal((await client.response()).status, 101);
  client.destroy();
});

test('an upgrade that the backend refuses is an ordinary answer', async () => {
  assert.equal(await refusalOf('/refused'), 403);
});

test('one that it answers with a page is a page, and 502 by HTTP/2, where each 2xx agrees (RFC 8441 §4)', async () => {
  assert.equal(await refusalOf('/page'), 200);
  const session = await openPeer({ port: sluice.httpPort });
  const asked = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/page', ':authority': 'ws.test' };
  assert.equal((await ask(session, { ...asked, 'sec-websocket-version': '13' }, '')).status, 502);
  session.destroy();
});

test('a client that vanishes closes the WebSocket of the backend', async () => {
  await waitUntil(() => sockets.clients.size === 0, 'the backend to see the end of those before');
  const peer = open();
  await once(peer, 'open');
  assert.equal(sockets.clients.size, 1);
  peer.terminate();
  await waitUntil(() => sockets.clients.size === 0, 'the backend to see the end');
});

test('a client that has ended its half is answered, and then not waited for as long as one that is silent', async () => {
  const client = await RawClient.open({ port: sluice.httpPort });
  client.send(get('/stays', 'ws.test', upgradeFields));
  await waitUntil(() => stays !== null, 'the upgrade');
  const peer = stays as Duplex;
  const ended = once(peer, 'end');
  // FIN alone, as the kernel of a client that was killed sends it; the backend has more to say, and no FIN of its own.
  client.end();
  await ended;
  peer.write(Buffer.from([0x81, 2, 0x68, 0x69]));
  await waitUntil(() => client.received.includes(Buffer.from([0x81, 2, 0x68, 0x69])), 'what is said then');
  await waitUntil(() => client.isEnded, 'the end');
  peer.destroy();
  client.destroy();
});

test('a backend that vanishes closes the WebSocket of the client', async () => {
  const peer = open();
  await once(peer, 'open');
  const closed = once(peer, 'close');
  for (const other of sockets.clients) other.terminate();
  const [code] = await closed;
  assert.equal(code, 1006);
});

test('a slow reader holds the sender back, and nothing is lost', async () => {
  const peer = open();
  await once(peer, 'open');
  const count = 256;
  const frame = Buffer.alloc(65_536, 7);
  let bytes = 0;
  peer.on('message', (data: Buffer) => {
    bytes += data.length;
  });
  peer.pause();
  for (let i = 0; i < count; i++) peer.send(frame);
  await new Promise((resolve) => setImmediate(resolve));
  peer.resume();
  await waitUntil(() => bytes === count * frame.length, 'all bytes to come back');
  peer.terminate();
});

test('an idle WebSocket ends by the read timeout of its route', async () => {
  const peer = open('/', 'idle.test');
  await once(peer, 'open');
  await once(peer, 'close');
});

test('a WebSocket in which the client alone speaks is not idle', async () => {
  const peer = open('/listens', 'quiet.test');
  await once(peer, 'open');
  const talk = setInterval(() => peer.send('more'), 20);
  // Longer than the timeout.
  await waitUntil(() => heard > 150 || peer.readyState !== peer.OPEN, 'what it says to be heard, or the end');
  clearInterval(talk);
  assert.equal(peer.readyState, peer.OPEN);
  peer.terminate();
});

test('an upgrade to anything else is answered as if it had not been asked', async () => {
  const fields = ['Connection: Upgrade', 'Upgrade: h2c'];
  const response = await exchange({ port: sluice.httpPort }, get('/', 'ws.test', fields));
  assert.equal(response.status, 200);
  assert.equal(response.body.toString(), 'plain');
});

/** Status of what comes in the place of a WebSocket. */
async function refusalOf(path: string): Promise<number> {
  const peer = open(path);
  const [, response] = await once(peer, 'unexpected-response');
  peer.on('error', () => undefined);
  peer.terminate();
  return response.statusCode;
}
