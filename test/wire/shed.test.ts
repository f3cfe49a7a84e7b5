import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { frameTypes, settingIds } from '../../proxy/frame/codes.ts';
import { Attack } from '../kit/attack.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const mib = 1 << 20;
const limit = 176 * mib;
/** What one turn of the loop may bring before anything comes free, at most. */
const tolerance = 40 * mib;
const connections = 100;
const each = 32;

let recorder: Recorder;
/** Reads what it is asked, and nothing behind it; answers when it is told to. */
let slow: Server;
const asked: Socket[] = [];
let sluice: Standalone;
const cleanups: (() => void)[] = [];

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  slow = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.pause();
      asked.push(socket);
    });
  });
  slow.listen(0, '127.0.0.1');
  await once(slow, 'listening');
});

/** A worker each: what the allocator kept of the first attack would count for the second. */
beforeEach(async () => {
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
      ingress({ name: 'raw', host: 'raw.test', paths: { '/': 'slow' }, annotations: { 'ssl-passthrough': 'true' } }),
      ingress({ name: 'slow', host: 'slow.test', paths: { '/': 'slow' }, annotations: { 'proxy-body-size': '0' } }),
      ...service('recorder', [recorder.port]),
      ...service('slow', [(slow.address() as AddressInfo).port]),
    ],
    args: ['--limit-memory-bytes', `${limit}`, '--limit-handshakes', '8000', '--limit-handshake-ms', '3600000'],
  });
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  for (const socket of asked.splice(0)) socket.destroy();
  await sluice?.stop();
});

after(async () => {
  await recorder?.stop();
  slow?.close();
});

/** Connections with a request on each of their streams that has come to the slow backend. */
async function attack(method: string, isEnd: boolean): Promise<H2Client[]> {
  const lines = [`:method: ${method}`, ':scheme: http', ':path: /', ':authority: slow.test'];
  const clients: H2Client[] = [];
  for (let nth = 0; nth < connections; nth++) {
    const client = await H2Client.open({ port: sluice.httpPort, from: `127.0.67.${nth % 50}` });
    client.greet([settingIds.initialWindowSize, 0]);
    client.send(...Array.from({ length: each }, (_, at) => client.headers(2 * at + 1, lines, isEnd)));
    clients.push(client);
    cleanups.push(() => client.destroy());
  }
  await waitUntil(() => asked.length === connections * each, 'the requests to reach the backend');
  return clients;
}

/** Others are served while the attack lasts, and memory is as it should be. */
async function survived(isEnded: () => boolean): Promise<void> {
  const [worker = 0] = childrenOf(sluice.process.pid);
  let most = 0;
  await waitUntil(() => {
    most = Math.max(most, residentBytes(worker));
    return isEnded();
  }, 'connections that hold much to be ended');
  await eventually(async () => {
    most = Math.max(most, residentBytes(worker));
    const reply = await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined);
    return reply?.status === 200 ? true : undefined;
  }, 'others to be served again');
  assert.ok(most < limit + tolerance, `${most / mib} MiB`);
  assert.equal(childrenOf(sluice.process.pid)[0], worker, 'the same worker');
}

test('uploads to a backend that reads nothing do not fill the worker: connections that hold most are ended', async () => {
  const clients = await attack('POST', false);
  const piece = Buffer.alloc(16_383);
  for (const client of clients) {
    for (let at = 0; at < each; at++) {
      client.send(...Array.from({ length: 4 }, () => frame(frameTypes.data, 0, 2 * at + 1, piece)));
    }
  }
  await survived(() => clients.some((client) => client.client.isDone));
});

test('nor do answers that clients do not take, which all come at once', async () => {
  const clients = await attack('GET', true);
  const body = Buffer.alloc(200_000);
  for (const socket of asked) {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  }
  await survived(() => clients.some((client) => client.client.isDone));
});

test('nor do ClientHellos that never end, where there are names to be looked for', async () => {
  const begun = Buffer.concat([Buffer.from('1603014000010040', 'hex'), Buffer.alloc(16_000)]);
  const flood = Attack.start({
    ...{ port: sluice.httpsPort, connections: 4_000 },
    from: Array.from({ length: 50 }, (_, nth) => `127.0.67.${nth}`),
    behave: (socket) => void socket.write(begun),
  });
  cleanups.push(() => flood.stop());
  await waitUntil(() => flood.connected === 4_000, 'them to be connected');
  await survived(() => flood.ended > 0);
});
