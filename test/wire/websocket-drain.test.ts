import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

async function rig(): Promise<{ gateway: TestGateway; sockets: WebSocketServer; url: string }> {
  const backend = createServer();
  const sockets = new WebSocketServer({ server: backend });
  sockets.on('connection', (peer) => peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary })));
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const { port } = backend.address() as AddressInfo;
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port }]), { lingerMs: 200 });
  opened.push(
    {
      stop: async () => {
        for (const peer of sockets.clients) peer.terminate();
        backend.close();
      },
    },
    gateway,
  );
  return { gateway, sockets, url: `ws://127.0.0.1:${gateway.port}/` };
}

test('a gateway that ends tells each WebSocket to go, and all close as they should', async () => {
  const { gateway, sockets, url } = await rig();
  const closedAtBackend: number[] = [];
  sockets.on('connection', (peer) => peer.on('close', (code) => closedAtBackend.push(code)));
  const peers = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const peer = new WebSocket(url);
      await once(peer, 'open');
      return peer;
    }),
  );
  const closes = peers.map((peer) => once(peer, 'close'));
  const drained = gateway.gateway.drain(2_000);
  // Those whose turn has not come go on talking meanwhile.
  const last = peers.at(-1) as WebSocket;
  last.send('still here');
  assert.equal(String((await once(last, 'message'))[0]), 'still here');
  const codes = (await Promise.all(closes)).map(([code]) => code);
  assert.deepEqual(codes, Array(8).fill(1001));
  await drained;
  await waitUntil(() => closedAtBackend.length === 8, 'the backend to hear of it');
  assert.deepEqual(closedAtBackend, Array(8).fill(1001));
});

test('not all are told at once: the last goes on for most of the grace', async (context) => {
  const { gateway, url } = await rig();
  const peers = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const peer = new WebSocket(url);
      await once(peer, 'open');
      return peer;
    }),
  );
  context.after(() => {
    for (const peer of peers) peer.terminate();
  });
  const closes = peers.map((peer) => once(peer, 'close'));
  void gateway.gateway.drain(10_000);
  await Promise.race(closes);
  const isTalking = peers.filter(({ readyState }) => readyState === WebSocket.OPEN);
  assert.ok(isTalking.length > 0, 'all were told at once');
});

test('the word to go waits for the end of a frame, and is the last one', async () => {
  const recorder = await Recorder.start();
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { lingerMs: 300 });
  opened.push(recorder, gateway);
  recorder.onHead = (request) =>
    answerBytes(request, 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x82\x0aabc');
  recorder.onRequest = () => undefined;
  const client = await RawClient.open({ port: gateway.port });
  client.send(
    'GET / HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
  );
  await waitUntil(() => client.received.includes('abc'), 'the first half of the frame');
  const request = await recorder.request();
  const headEnd = client.received.indexOf('\r\n\r\n') + 4;
  const drained = gateway.gateway.drain(3_000);
  await waitUntil(() => gateway.gateway.counts().requests === 1, 'the tunnel to be there');
  // Nobody can see from outside that the time to go has come, so the second half is sent until the word follows it.
  answerBytes(request, 'd');
  const rest = ['e', 'f', 'g', 'h', 'i'];
  for (const letter of rest) answerBytes(request, letter);
  await waitUntil(() => client.received.length > headEnd + 5, 'more of the frame');
  answerBytes(request, 'j\x82\x01z');
  await drained;
  const frames = client.received.subarray(headEnd).toString('latin1');
  assert.match(frames, /^\x82\x0aabcdefghij(?:\x82\x01z)?\x88\x02\x03\xe9$/);
  // It was told and did not go.
  assert.deepEqual(
    gateway.records.map(({ status, flag }) => [status, flag]),
    [[101, 'GE']],
  );
  client.destroy();
});

const switching = 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
const goingAway = Buffer.from([0x88, 2, 0x03, 0xe9]);

test('a WebSocket that begins when the gateway has begun to end is told to go, too, and waited for a while', async () => {
  const recorder = await Recorder.start({ onHead: () => undefined, onRequest: () => undefined });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { lingerMs: 100 });
  const client = await RawClient.open(gateway);
  const streams = await H2Client.open(gateway);
  client.send(get('/', 'gw.test', ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x']));
  const one = await recorder.request(0);
  streams.greet();
  const connect = [':method: CONNECT', ':protocol: websocket', ':scheme: http', ':path: /', ':authority: gw.test'];
  streams.send(streams.headers(1, [...connect, 'sec-websocket-version: 13', 'sec-websocket-key: x'], false));
  const two = await recorder.request(1);
  // Behind them in the order of going, so that these two have most of the grace left when their turn comes.
  const others = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(gateway)));
  opened.push(recorder, ...[client, streams, ...others].map((each) => ({ stop: async () => each.destroy() })));
  await waitUntil(() => gateway.gateway.counts().connections === 10, 'all connections to be accepted');
  const drained = gateway.gateway.drain(8_000);
  for (const request of [one, two]) {
    const key = fieldValue(request, 'sec-websocket-key') ?? '';
    answerBytes(request, `${switching}Sec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`);
  }
  await drained;
  assert.ok(client.received.subarray(-4).equals(goingAway), 'over HTTP/1.1');
  assert.ok(streams.answer(1).body.equals(goingAway), 'over HTTP/2');
  // They have not gone, and were not left to be cut off with the rest.
  assert.ok(client.isEnded && streams.answer(1).isEnded);
});

function acceptOf(key: string): string {
  return hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64');
}
