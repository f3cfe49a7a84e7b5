import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { Attack, type AttackOptions, drip } from '../kit/attack.ts';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

/** As long as a test can wait for, and long enough for honest clients on a busy machine. */
const limits = {
  'head-ms': 2_000,
  'idle-ms': 3_000,
  'body-idle-ms': 2_000,
  'write-idle-ms': 3_000,
  'handshake-ms': 3_000,
  'settings-ms': 2_000,
};
const connections = 100;
/** Connections of honest clients that may be open at a moment, some of them about to close. */
const honest = 10;
/** What a hundred attackers may cost the worker; a tenth of it would be their sockets. */
const growthBound = 96 << 20;

let recorder: Recorder;
let sluice: Standalone;
const running: (Attack | Load)[] = [];

before(async () => {
  const large = 'x'.repeat(4 << 20);
  recorder = await Recorder.start({
    onRequest: (request) => answer(request, request.target === '/large' ? large : 'ok'),
  });
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({
        name: 'all',
        host: 'gw.test',
        paths: { '/': 'recorder' },
        tlsSecret: 'cert',
        annotations: { 'ssl-redirect': 'false' },
      }),
      ...service('recorder', [recorder.port]),
      tlsSecret('cert', await certificateFor(['gw.test'])),
    ],
    args: Object.entries(limits).flatMap(([name, value]) => [`--limit-${name}`, `${value}`]),
  });
});

afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** Sum over the listeners of a metric. */
async function sum(name: string): Promise<number> {
  const found = (await sluice.admin('/metrics')).matchAll(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'gm'));
  return [...found].reduce((total, [, value]) => total + Number(value), 0);
}

const opened = () => sum('sluice_connections_total');
const open = () => sum('sluice_connections');

const head = 'Host: gw.test\r\n';
const get = (path: string) => `GET ${path} HTTP/1.1\r\n${head}\r\n`;
const post = (fields: string) => `POST / HTTP/1.1\r\n${head}${fields}\r\n\r\n`;

/** Sends something, then a piece of more every now and then: faster than any silence is allowed. */
function dripping(first: string, piece: string): (socket: Socket) => () => void {
  return (socket) => {
    socket.write(first, 'latin1');
    return drip(socket, piece, 500);
  };
}

function asking(text: string): (socket: Socket) => undefined {
  return (socket) => {
    socket.write(text, 'latin1');
  };
}

/** Reads nothing, or nothing any more. */
function unread(text: string): (socket: Socket) => undefined {
  return (socket) => {
    socket.write(text, 'latin1');
    socket.pause();
  };
}

/** Preface, SETTINGS with the given pairs, acknowledgement of theirs. */
function h2(settings: string): string {
  const length = String.fromCharCode(0, 0, settings.length);
  return `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${length}\x04\0\0\0\0\0${settings}\0\0\0\x04\x01\0\0\0\0`;
}

/** GET https://gw.test/large: static table entries but for the path and the authority, without Huffman code. */
const h2Request = `\x82\x87\x04\x06/large\x01\x07gw.test`;
const h2Headers = `\0\0${String.fromCharCode(h2Request.length)}\x01\x05\0\0\0\x01${h2Request}`;

const attacks: Record<string, Pick<AttackOptions, 'behave' | 'isTls' | 'alpn'>> = {
  'nothing at all': {},
  'a head, byte by byte': { behave: dripping('GET / HTTP/1.1\r\nX: ', 'a') },
  'a head, field by field': { behave: dripping('GET / HTTP/1.1\r\n', 'X: 1\r\n') },
  'empty lines before a request': { behave: dripping('', '\r\n') },
  'empty lines after an answer': { behave: dripping(get('/'), '\r\n') },
  'a body with a length, byte by byte': { behave: dripping(post('Content-Length: 100000'), 'a') },
  'a chunked body, byte by byte': { behave: dripping(post('Transfer-Encoding: chunked'), '1\r\na\r\n') },
  'a chunk size without end': { behave: dripping(post('Transfer-Encoding: chunked'), '0') },
  'a body that stops': { behave: asking(`${post('Content-Length: 100000')}abc`) },
  'fields without end': {
    behave(socket) {
      socket.write(`GET / HTTP/1.1\r\n${head}`);
      return drip(socket, `X-Field: ${'a'.repeat(1_000)}\r\n`.repeat(10), 5);
    },
  },
  'chunk extensions without end': {
    behave(socket) {
      socket.write(`${post('Transfer-Encoding: chunked')}1`);
      return drip(socket, `;a=${'b'.repeat(10_000)}`, 5);
    },
  },
  'a question whose answer is not read': { behave: unread(get('/large')) },
  'questions whose answers are not read': { behave: unread(get('/large').repeat(20)) },
  'nothing, over TLS': { isTls: true },
  'a question over TLS whose answer is not read': { isTls: true, behave: unread(get('/large')) },
  'nothing, over HTTP/2': { isTls: true, alpn: 'h2' },
  'SETTINGS and nothing more, over HTTP/2': { isTls: true, alpn: 'h2', behave: asking(h2('')) },
  'a question over HTTP/2 with no window for its answer': {
    isTls: true,
    alpn: 'h2',
    behave: asking(h2('\0\x04\0\0\0\0') + h2Headers),
  },
};

describe('a hundred clients that hold their connection with', () => {
  for (const [what, options] of Object.entries(attacks)) {
    test(`${what}: they are ended, cost little, and nobody else notices`, async () => {
      const [worker = 0] = childrenOf(sluice.process.pid);
      const startBytes = residentBytes(worker);
      const startCount = await opened();
      let most = startBytes;
      const port = options.isTls ? sluice.httpsPort : sluice.httpPort;
      const isTls = options.isTls === true;
      const loads = [true, false].map((keepsAlive) =>
        Load.start({ port, host: 'gw.test', connections: 1, requestsPerSecond: 40, keepsAlive, isTls }),
      );
      const attack = Attack.start({ port, from: ['127.0.66.1'], connections, ...options });
      running.push(...loads, attack);
      await waitUntil(() => attack.connected === connections, 'the attackers to be connected');
      await eventually(
        async () => ((await opened()) >= startCount + connections ? true : undefined),
        'their acceptance',
      );
      // Who reads nothing does not see its end; the gateway knows.
      await eventually(async () => {
        most = Math.max(most, residentBytes(worker));
        return (await open()) <= honest ? true : undefined;
      }, "the end of the attackers' connections");
      for (const load of loads) {
        const { answered, failures } = await load.stop();
        assert.deepEqual(failures, []);
        assert.ok(answered > 0);
      }
      assert.ok(most - startBytes < growthBound, `grew by ${Math.round((most - startBytes) / 1024)} KiB`);
    });
  }
});
