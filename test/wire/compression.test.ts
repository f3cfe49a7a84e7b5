import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import zlib, {
  brotliDecompressSync,
  constants,
  createGunzip,
  type Gzip,
  gunzipSync,
  zstdDecompressSync,
} from 'node:zlib';
import type { LiveBackend } from '../../proxy/receive/live.ts';
import type { Compression } from '../../proxy/table/compression.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import type { RawResponse } from '../kit/response.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const applies = { types: ['text/*'], minBytes: 256 };
const compression = [
  { name: 'zstd' as const, level: 3, ...applies },
  { name: 'br' as const, level: 4, ...applies },
  { name: 'gzip' as const, level: 1, ...applies },
];

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

async function rig(
  limits = {},
  offered: Compression = compression,
): Promise<{ recorder: Recorder; gateway: TestGateway; client: RawClient }> {
  const recorder = await Recorder.start();
  const rows = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  const gateway = await testGateway(
    rows.map((each) => (each.kind === 'listener' ? row('listener', { id: 'http', compression: offered }) : each)),
    limits,
  );
  const client = await RawClient.open({ port: gateway.port });
  opened.push(recorder, gateway, { stop: async () => client.destroy() });
  return { recorder, gateway, client };
}

const valuesOf = ({ fields }: RawResponse, name: string) =>
  fields.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
const text = 'The quick brown fox. '.repeat(400);

for (const [name, decode] of [
  ['gzip', gunzipSync],
  ['br', brotliDecompressSync],
  ['zstd', zstdDecompressSync],
] as const) {
  test(`${name}: the body is whole, the head says so, the connection goes on`, async () => {
    const { recorder, client } = await rig();
    recorder.onRequest = (request) =>
      answer(request, text, 200, ['Content-Type: text/plain', 'ETag: "a"', 'Accept-Ranges: bytes']);
    for (let i = 0; i < 3; i++) client.send(get('/', 'gw.test', [`Accept-Encoding: ${name}`]));
    for (let i = 0; i < 3; i++) {
      const response = await client.response(i);
      assert.deepEqual(valuesOf(response, 'content-encoding'), [name]);
      assert.deepEqual(valuesOf(response, 'vary'), ['Accept-Encoding']);
      assert.deepEqual(valuesOf(response, 'etag'), ['W/"a"']);
      assert.deepEqual(valuesOf(response, 'accept-ranges'), []);
      assert.equal(response.framing, 'chunked');
      assert.equal(decode(response.body).toString(), text);
    }
    assert.equal(recorder.connections.length, 1);
  });
}

test('zstd: a body is one frame: there may be several (RFC 8878 §3), but not for all decoders', async () => {
  const { recorder, client } = await rig();
  const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
  for (const [index, bytes] of [600, 100_000, 3_000_000].entries()) {
    const body = randomBytes(bytes / 2).toString('hex');
    recorder.onRequest = (request) => answer(request, body, 200, ['Content-Type: text/plain']);
    client.send(get('/', 'gw.test', ['Accept-Encoding: zstd']));
    const response = await client.response(index);
    assert.equal(zstdDecompressSync(response.body).toString(), body);
    assert.equal(response.body.lastIndexOf(magic), 0, `${bytes} bytes`);
  }
});

test('what must not be compressed passes byte for byte', async () => {
  const offered = [{ name: 'gzip' as const, level: 1, types: ['text/*', 'application/*'], minBytes: 256 }];
  const { recorder, client } = await rig({}, offered);
  const plain = ['Content-Type: text/plain'];
  const cases: { fields: string[]; body?: string; status?: number; asks?: string[]; varies: boolean }[] = [
    { fields: plain, asks: [], varies: true },
    { fields: plain, asks: ['Accept-Encoding: identity'], varies: true },
    { fields: plain, body: 'short', varies: false },
    { fields: ['Content-Type: image/png'], varies: false },
    { fields: [], varies: false },
    { fields: [...plain, 'Content-Encoding: gzip'], varies: false },
    { fields: [...plain, 'Cache-Control: public, no-transform'], varies: false },
    { fields: [...plain, 'Content-Range: bytes 0-8399/10000'], status: 206, varies: false },
    { fields: [...plain, 'Repr-Digest: sha-256=:x:'], varies: false },
    { fields: [...plain, 'Content-Digest: sha-256=:x:'], varies: false },
    { fields: [...plain, 'Digest: sha-256=x'], varies: false },
    { fields: [...plain, 'Content-Range: bytes */8400'], status: 416, varies: false },
    // Of several ranges the parts say which they are.
    { fields: ['Content-Type: text/x-byteranges'], status: 206, varies: false },
    // Trailers would be lost, whether they are announced or the status of a call.
    { fields: [...plain, 'Trailer: X-Sum'], varies: false },
    { fields: ['Content-Type: application/grpc'], varies: false },
  ];
  for (const [
    index,
    { fields, body = text, status = 200, asks = ['Accept-Encoding: gzip'], varies },
  ] of cases.entries()) {
    recorder.onRequest = (request) => answer(request, body, status, fields);
    client.send(get('/', 'gw.test', asks));
    const response = await client.response(index);
    assert.equal(response.framing, 'length', `case ${index}`);
    assert.equal(response.body.toString(), body);
    assert.deepEqual(valuesOf(response, 'vary'), varies ? ['Accept-Encoding'] : [], `case ${index}`);
  }
});

test('a Vary and a tag that say it already are left alone, and a sum of other bytes goes', async () => {
  const { recorder, client } = await rig();
  for (const [index, vary] of ['Origin, accept-encoding', '*'].entries()) {
    const fields = ['Content-Type: text/css', `Vary: ${vary}`, 'ETag: W/"a"', 'Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ=='];
    recorder.onRequest = (request) => answer(request, text, 200, fields);
    client.send(get('/', 'gw.test', ['Accept-Encoding: br']));
    const response = await client.response(index);
    assert.deepEqual(valuesOf(response, 'content-encoding'), ['br']);
    assert.deepEqual(valuesOf(response, 'vary'), [vary]);
    assert.deepEqual(valuesOf(response, 'etag'), ['W/"a"']);
    assert.deepEqual(valuesOf(response, 'content-md5'), []);
  }
});

test('the level of each encoding is the one that was asked for', async () => {
  const source = readFileSync(import.meta.filename, 'utf8');
  const applies = { types: ['*'], minBytes: 0 };
  for (const [name, low, high] of [
    ['gzip', 1, 9],
    ['br', 1, 11],
    ['zstd', 1, 19],
  ] as const) {
    const sizes: number[] = [];
    for (const level of [low, high]) {
      const { recorder, client } = await rig({}, [{ name, level, ...applies }]);
      recorder.onRequest = (request) => answer(request, source, 200, ['Content-Type: text/plain']);
      client.send(get('/', 'gw.test', [`Accept-Encoding: ${name}`]));
      sizes.push((await client.response()).body.length);
    }
    const [light = 0, heavy = 0] = sizes;
    assert.ok(heavy < 0.95 * light, `${name}: ${heavy} and ${light} bytes`);
  }
});

test('a route turns the listener’s compression off', async () => {
  const { recorder, gateway, client } = await rig();
  const off = { type: 'compression' as const, compression: [] };
  gateway.apply([row('route', { id: 'r', filters: [off] })]);
  recorder.onRequest = (request) => answer(request, text, 200, ['Content-Type: text/plain']);
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
  const response = await client.response(0);
  assert.equal(response.framing, 'length');
  assert.deepEqual(valuesOf(response, 'vary'), []);
});

test('HTTP/1.0 gets the answer as it is', async () => {
  const { recorder, client } = await rig();
  recorder.onRequest = (request) => answer(request, text, 200, ['Content-Type: text/plain']);
  client.send('GET / HTTP/1.0\r\nHost: gw.test\r\nAccept-Encoding: gzip\r\n\r\n');
  assert.equal((await client.response(0)).body.toString(), text);
});

test('HEAD gets the head that GET gets', async () => {
  const { recorder, gateway, client } = await rig();
  const asked = [
    ['Content-Type: text/plain', 'ETag: "a"'],
    ['Content-Type: image/png', 'ETag: "a"'],
    ['Content-Type: text/plain', 'Cache-Control: no-transform'],
  ];
  for (const [index, fields] of asked.entries()) {
    recorder.onRequest = (request) => answer(request, text, 200, fields);
    client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
    client.send('HEAD / HTTP/1.1\r\nHost: gw.test\r\nAccept-Encoding: gzip\r\n\r\n');
    const methods = Array.from({ length: 2 * index + 2 }, (_, i) => (i % 2 === 0 ? 'GET' : 'HEAD'));
    const got = await client.response(2 * index, methods);
    const head = await client.response(2 * index + 1, methods);
    for (const name of ['content-encoding', 'content-length', 'etag', 'vary', 'content-type']) {
      assert.deepEqual(valuesOf(head, name), valuesOf(got, name), `${name} of case ${index}`);
    }
  }
  assert.equal(gateway.gateway.encoders.open, 0);
  recorder.onRequest = (request) => answer(request, '', 200, ['Content-Type: text/plain']);
  client.send('HEAD / HTTP/1.1\r\nHost: gw.test\r\nAccept-Encoding: gzip\r\n\r\n');
  const empty = await client.response(6, ['GET', 'HEAD', 'GET', 'HEAD', 'GET', 'HEAD', 'HEAD']);
  assert.deepEqual(valuesOf(empty, 'content-encoding'), []);
});

test('304 names the entry that the client has', async () => {
  const { recorder, client } = await rig();
  const cases: [asked: string, fields: string[], etag: string, vary: string[]][] = [
    ['W/"a"', ['ETag: "a"'], 'W/"a"', ['Accept-Encoding']],
    ['"z", W/"a"', ['ETag: "a"', 'Vary: Accept-Encoding'], 'W/"a"', ['Accept-Encoding']],
    ['"a"', ['ETag: "a"'], '"a"', []],
    ['W/"a", "a"', ['ETag: "a"'], '"a"', []],
    ['"a"', ['ETag: "a"', 'Content-Type: text/plain'], '"a"', ['Accept-Encoding']],
    ['"a"', ['ETag: "a"', 'Content-Type: image/png'], '"a"', []],
    ['W/"a"', ['ETag: W/"a"'], 'W/"a"', []],
  ];
  for (const [index, [asked, fields, etag, vary]] of cases.entries()) {
    recorder.onRequest = (request) =>
      answerBytes(request, `HTTP/1.1 304 Not Modified\r\n${fields.join('\r\n')}\r\n\r\n`);
    client.send(get('/', 'gw.test', ['Accept-Encoding: gzip', `If-None-Match: ${asked}`]));
    const response = await client.response(index);
    assert.equal(response.status, 304);
    assert.deepEqual(valuesOf(response, 'etag'), [etag], `case ${index}`);
    assert.deepEqual(valuesOf(response, 'vary'), vary, `case ${index}`);
    assert.deepEqual(valuesOf(response, 'content-encoding'), [], `case ${index}`);
  }
});

test('304 that names the encoded entry says nothing of the bytes that the other one has', async () => {
  const { recorder, client } = await rig();
  const ofBytes = ['Content-Length: 8400', 'Accept-Ranges: bytes', 'Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ=='];
  recorder.onRequest = (request) =>
    answerBytes(request, `HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n${ofBytes.join('\r\n')}\r\n\r\n`);
  for (const [index, [asked, left]] of (
    [
      ['W/"a"', 0],
      ['"a"', 1],
    ] as const
  ).entries()) {
    client.send(get('/', 'gw.test', ['Accept-Encoding: gzip', `If-None-Match: ${asked}`]));
    const response = await client.response(index);
    for (const name of ['content-length', 'accept-ranges', 'content-md5']) {
      assert.equal(valuesOf(response, name).length, left, `${name} to ${asked}`);
    }
  }
});

test('server-sent events come out one by one', async () => {
  const { recorder, client } = await rig();
  recorder.onRequest = (request) =>
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
  const request = await recorder.request();
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  let seen = '';
  gunzip.on('data', (bytes: Buffer) => {
    seen += bytes.toString();
  });
  let fed = 0;
  await waitUntil(() => client.received.includes('\r\n\r\n'), 'the head');
  fed = client.received.indexOf('\r\n\r\n') + 4;
  for (const event of ['data: one\n\n', 'data: two\n\n']) {
    answerBytes(request, `${event.length.toString(16)}\r\n${event}\r\n`);
    await waitUntil(() => {
      fed = feedChunks(client.received, fed, gunzip);
      return seen.endsWith(event);
    }, `the event ${event.trim()}`);
  }
  answerBytes(request, '0\r\n\r\n');
  assert.equal((await client.response(0)).isComplete, true);
});

test('a backend that breaks off before anything of it has left the compressor is 502', async () => {
  const { recorder, gateway, client } = await rig();
  recorder.onRequest = (request) => {
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999\r\n\r\nquick');
    request.connection.socket.end();
  };
  client.send(get('/', 'gw.test', ['Accept-Encoding: br']));
  const response = await client.response();
  assert.equal(response.status, 502);
  assert.deepEqual(valuesOf(response, 'content-encoding'), []);
  assert.equal(response.isComplete, true);
  await waitUntil(() => gateway.gateway.encoders.open === 0, 'the compressor to be closed');
});

test('a request that breaks while the compressor has all of its answer is told why', async () => {
  const { recorder, gateway, client } = await rig();
  recorder.onHead = (request) =>
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999\r\n\r\nquick');
  client.send(
    'POST / HTTP/1.1\r\nHost: gw.test\r\nAccept-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n',
  );
  await waitUntil(() => gateway.gateway.encoders.open === 1, 'the answer to be compressed');
  client.send('no size\r\n');
  assert.equal((await client.response()).status, 400);
  await waitUntil(() => gateway.gateway.encoders.open === 0, 'the compressor to be closed');
});

test('a backend that breaks off is seen as broken off', async () => {
  const { recorder, gateway, client } = await rig();
  recorder.onRequest = (request) => {
    answerBytes(request, `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999\r\n\r\n${text}`);
    request.connection.socket.end();
  };
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip', 'Connection: close']));
  await client.closed();
  assert.ok(!client.received.toString('latin1').endsWith('0\r\n\r\n'));
  await waitUntil(() => gateway.gateway.encoders.open === 0, 'the compressor to be closed');
});

test('a compressor that fails cuts its own answer off, and what its backend still sends reaches nobody', async (t) => {
  const { recorder, gateway, client } = await rig();
  const compressors: Gzip[] = [];
  const { createGzip } = zlib;
  t.mock.method(zlib, 'createGzip', (options: zlib.ZlibOptions) => {
    const compressor = createGzip(options);
    compressors.push(compressor);
    return compressor;
  });
  recorder.onRequest = () => undefined;
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
  const first = await recorder.request();
  answerBytes(first, `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999\r\n\r\n${text}`);
  await waitUntil(() => compressors[0]?.writableLength === 0, 'the compressor to have its bytes');
  // Want of memory, the only reason that there is, cannot be had at will.
  compressors[0]?.destroy(new Error('no memory'));
  await client.closed();
  const next = await RawClient.open({ port: gateway.port });
  next.send(get('/next', 'gw.test'));
  const second = await recorder.request(1);
  answerBytes(first, text);
  await waitUntil(() => first.connection.isClosed || next.receivedBytes > 0, 'the connection of the first to close');
  answer(second, 'its own', 200, []);
  const response = await next.response();
  assert.deepEqual([response.status, response.body.toString()], [200, 'its own']);
  next.destroy();
  const { circuit } = (gateway.live.backend('b') as LiveBackend).state;
  await waitUntil(() => circuit.requests === 0, 'both requests to be over');
});

test('clients that read nothing, or go, hold neither the backend’s bytes nor a compressor', async () => {
  const { recorder, gateway, client } = await rig();
  // Noise hardly shrinks, so what the client does not read shows at the backend soon.
  const block = randomBytes(65_536);
  let sent = 0;
  let isStuck = false;
  recorder.onRequest = (request) => {
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4000000000\r\n\r\n');
    const { socket } = request.connection;
    const push = () => {
      while (!socket.destroyed && sent < 300_000_000) {
        sent += block.length;
        if (!socket.write(block)) {
          socket.once('drain', push);
          return;
        }
      }
    };
    push();
    socket.on('close', () => {
      isStuck = true;
    });
  };
  client.socket.pause();
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
  let before = -1;
  let stillFor = 0;
  await waitUntil(() => {
    stillFor = before === sent && sent > 0 ? stillFor + 1 : 0;
    before = sent;
    return stillFor > 20;
  }, 'the backend to be held up');
  assert.ok(sent < 100_000_000, `${sent} bytes taken`);
  assert.equal(gateway.gateway.encoders.open, 1);
  client.destroy();
  await waitUntil(() => isStuck && gateway.gateway.encoders.open === 0, 'backend and compressor to be let go');
});

test('beyond the limit answers go as they are', async () => {
  const { recorder, client } = await rig({ encoders: 0 });
  recorder.onRequest = (request) => answer(request, text, 200, ['Content-Type: text/plain']);
  client.send(get('/', 'gw.test', ['Accept-Encoding: gzip']));
  const response = await client.response(0);
  assert.equal(response.framing, 'length');
  assert.deepEqual(valuesOf(response, 'vary'), ['Accept-Encoding']);
});

/** Feeds the payload of the whole chunks from `at` on. @returns the offset after them */
function feedChunks(bytes: Buffer, at: number, sink: NodeJS.WritableStream): number {
  let offset = at;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', offset);
    if (lineEnd === -1) return offset;
    const length = Number.parseInt(bytes.toString('latin1', offset, lineEnd), 16);
    const end = lineEnd + 2 + length + 2;
    if (end > bytes.length || length === 0) return offset;
    sink.write(bytes.subarray(lineEnd + 2, end - 2));
    offset = end;
  }
}
