import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { ClientHttp2Session } from 'node:http2';
import { after, afterEach, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { errorCodes, frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { certificateFor } from '../kit/certificate.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ask, openPeer } from '../kit/h2peer.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;
const sessions: ClientHttp2Session[] = [];

before(async () => {
  recorder = await Recorder.start();
  const backend = ['recorder', [recorder.port]] as const;
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({
        name: 'all',
        host: 'gw.test',
        paths: { '/': 'recorder' },
        tlsSecret: 'cert',
        annotations: { 'ssl-redirect': 'false', 'proxy-body-size': '0' },
      }),
      ingress({
        name: 'small',
        host: 'small.test',
        paths: { '/': 'recorder' },
        annotations: { 'proxy-body-size': '1k' },
      }),
      ingress({ name: 'zip', host: 'zip.test', paths: { '/': 'recorder' }, annotations: { compression: 'gzip' } }),
      ingress({
        name: 'away',
        host: 'away.test',
        paths: { '/': 'recorder' },
        annotations: { 'force-ssl-redirect': 'true' },
      }),
      tlsSecret('cert', await certificateFor(['gw.test'])),
      ...service(backend[0], [...backend[1]]),
    ],
    args: ['--access-log', 'stdout'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy();
});

async function open(onRequest?: (request: RecordedRequest) => void, tls = false): Promise<ClientHttp2Session> {
  recorder.onRequest = onRequest ?? ((request) => answer(request, 'ok'));
  recorder.onHead = () => undefined;
  recorder.take();
  const session = await openPeer({ port: tls ? sluice.httpsPort : sluice.httpPort, tls });
  sessions.push(session);
  return session;
}

for (const tls of [false, true]) {
  describe(tls ? 'over TLS' : 'over cleartext', () => {
    test('a request reaches an HTTP/1.1 backend as one, and its answer comes back', async () => {
      const session = await open(
        (request) => answer(request, 'hello', 201, ['X-B: 1', 'Connection: keep-alive, x-hop', 'X-Hop: 1']),
        tls,
      );
      const { status, headers, body } = await ask(session, {
        ':path': '/a?b=c',
        'x-a': '1',
        cookie: ['a=1', 'b=2'],
        te: 'trailers',
      });
      assert.deepEqual([status, body.toString(), headers['x-b'], headers['x-hop']], [201, 'hello', '1', undefined]);
      const [seen] = recorder.take();
      assert.ok(seen);
      assert.equal(seen.head.split('\r\n')[0], 'GET /a?b=c HTTP/1.1');
      const expected = {
        host: 'gw.test',
        'x-a': '1',
        cookie: 'a=1; b=2',
        'x-forwarded-proto': tls ? 'https' : 'http',
        te: 'trailers',
        connection: 'TE',
      };
      for (const [name, value] of Object.entries(expected)) assert.equal(fieldValue(seen, name), value, name);
    });

    test('bodies of any size go both ways', async () => {
      const session = await open((request) => answer(request, request.body.toString('latin1')), tls);
      for (const size of [1, 16_384, 100_000, 1_000_000]) {
        const body = Buffer.alloc(size, `${size} `);
        const { status, body: echoed } = await ask(session, {}, body);
        assert.equal(status, 200);
        assert.ok(echoed.equals(body), `${size} bytes`);
      }
      const framings = recorder.take().map((request) => fieldValue(request, 'content-length') ?? 'chunked');
      assert.equal(framings[0], '1');
      assert.equal(framings[3], 'chunked');
    });

    test('requests of one connection are answered as they are done', async () => {
      const held: RecordedRequest[] = [];
      const session = await open(
        (request) => (request.target === '/slow' ? held.push(request) : answer(request, 'quick')),
        tls,
      );
      const slow = ask(session, { ':path': '/slow' });
      const quick = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(session, { ':path': `/${i}` })));
      assert.ok(quick.every(({ body }) => body.toString() === 'quick'));
      answer(held[0] as RecordedRequest, 'at last');
      assert.equal((await slow).body.toString(), 'at last');
    });
  });
}

test('trailers pass in both directions, but those that would be acted on', async () => {
  const session = await open((request) => {
    answerBytes(
      request,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\nSet-Cookie: a=b\r\n\r\n',
    );
  });
  const { trailers, body, code } = await ask(session, {}, 'body', { 'x-checked': 'yes', 'content-type': 'a/b' });
  assert.deepEqual([trailers['x-sum'], trailers['set-cookie'], body.toString(), code], ['9', undefined, 'ok', 0]);
  assert.deepEqual(recorder.take()[0]?.trailers, ['x-checked: yes']);
});

test('interim answers pass: 103 with its links, 100 to whoever expects it', async () => {
  const session = await open((request) => {
    answerBytes(request, 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nX-A: 1\r\n\r\n');
    answer(request, 'ok');
  });
  const { interims, status } = await ask(session, {});
  assert.deepEqual(
    [interims.length, interims[0]?.['link'], interims[0]?.['x-a'], status],
    [1, '</a>; rel=preload', undefined, 200],
  );
});

test('answers without a body have none: HEAD, 204, 304', async () => {
  const session = await open((request) => {
    const status = Number(request.target.slice(1));
    if (request.method === 'HEAD') answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
    else answerBytes(request, `HTTP/1.1 ${status} X\r\n${status === 304 ? 'Content-Length: 5\r\n' : ''}\r\n`);
  });
  const head = await ask(session, { ':method': 'HEAD', ':path': '/200' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length, head.code], [200, '5', 0, 0]);
  for (const status of [204, 304]) {
    const answered = await ask(session, { ':path': `/${status}` });
    assert.deepEqual([answered.status, answered.body.length, answered.code], [status, 0, 0]);
  }
});

test('what the gateway answers itself: no route, a redirect, a body that is too large', async () => {
  const session = await open();
  const nowhere = await ask(session, { ':authority': 'nowhere.test', accept: 'application/json' });
  assert.deepEqual([nowhere.status, nowhere.headers['content-type']], [404, 'application/json']);
  const away = await ask(session, { ':authority': 'away.test', ':path': '/x' }, 'body');
  assert.deepEqual([away.status, away.headers.location], [308, `https://away.test:${sluice.httpsPort}/x`]);
  const large = await ask(session, { ':authority': 'small.test' }, Buffer.alloc(200_000));
  assert.equal(large.status, 413);
  assert.equal(recorder.take().filter(({ isComplete }) => isComplete).length, 0);
  assert.equal((await ask(session, {})).status, 200);
});

test('a truncated answer is a reset stream and never a clean end', async () => {
  const session = await open((request) => {
    answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
    request.connection.socket.end();
  });
  const { status, body, code } = await ask(session, {});
  assert.deepEqual([status, body.toString(), code], [200, 'half', 2]);
  assert.equal(session.destroyed, false);
});

test('an answer that comes before the end of the upload leaves the client time to read it', async () => {
  const session = await open();
  recorder.onHead = (request) => answer(request, 'enough', 403);
  const client = await H2Client.open({ port: sluice.httpPort });
  client.greet();
  const lines = [':scheme: http', ':authority: gw.test', ':path: /'];
  client.send(client.headers(1, [':method: POST', ...lines], false), frame(frameTypes.data, 0, 1, Buffer.alloc(1_000)));
  await waitUntil(() => client.answer(1).isEnded, 'the answer');
  recorder.onHead = () => undefined;
  client.send(frame(frameTypes.data, frameFlags.endStream, 1, Buffer.alloc(1_000)));
  client.send(client.headers(3, [':method: GET', ...lines]));
  await waitUntil(() => client.answer(3).isEnded, 'another answer');
  const { statuses, reset } = client.answer(1);
  assert.deepEqual([statuses, reset, client.answer(3).statuses], [[403], null, [200]]);
  client.client.destroy();
  assert.equal((await ask(session, {})).status, 200);
});

test('a client that cancels takes its request away from the backend', async () => {
  const session = await open(() => undefined);
  const stream = session.request({ ':path': '/', ':authority': 'gw.test' });
  stream.on('error', () => undefined);
  const { connection } = await recorder.request();
  stream.close(8);
  await waitUntil(() => connection.isEnded, 'the backend’s connection to end');
});

test('a reader that rests pauses its own backend and no other', async () => {
  const total = 20_000_000;
  let written = 0;
  const session = await open((request) => {
    if (request.target !== '/large') return answer(request, 'ok');
    answerBytes(request, `HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const pump = () => {
      while (written < total) {
        written += 100_000;
        if (!request.connection.socket.write(Buffer.alloc(100_000, 'a'))) return;
      }
    };
    request.connection.socket.on('drain', pump);
    pump();
  });
  const stream = session.request({ ':path': '/large', ':authority': 'gw.test' });
  await new Promise((resolve) => stream.once('response', resolve));
  const others = await Promise.all(Array.from({ length: 20 }, () => ask(session, {})));
  assert.ok(others.every(({ status }) => status === 200));
  assert.ok(written < total, 'the backend was paused');
  let received = 0;
  stream.on('data', (bytes: Buffer) => {
    received += bytes.length;
  });
  await new Promise((resolve) => stream.on('close', resolve));
  assert.equal(received, total);
});

test('a response is compressed where that is asked for', async () => {
  const session = await open((request) => answer(request, 'a'.repeat(5_000), 200, ['Content-Type: text/plain']));
  const { headers, body } = await ask(session, { ':authority': 'zip.test', 'accept-encoding': 'gzip' });
  assert.equal(headers['content-encoding'], 'gzip');
  assert.equal(gunzipSync(body).toString(), 'a'.repeat(5_000));
});

test('the access log names the protocol', async () => {
  const session = await open();
  await ask(session, { ':path': '/logged-here' });
  const [line] = await sluice.process.printed(/^.*logged-here.*$/m);
  const record = JSON.parse(line) as Record<string, unknown>;
  assert.deepEqual([record['protocol'], record['response_code'], record['method']], ['HTTP/2.0', 200, 'GET']);
});

describe('WebSocket (RFC 8441)', () => {
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

  function accepting(request: RecordedRequest, accept?: string): void {
    const key = fieldValue(request, 'sec-websocket-key') ?? '';
    const proof =
      accept ??
      createHash('sha1')
        .update(key + guid)
        .digest('base64');
    answerBytes(
      request,
      `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${proof}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`,
    );
  }

  function connect(session: ClientHttp2Session, fields: Record<string, string> = {}) {
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/ws',
      ':authority': 'gw.test',
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
      ...fields,
    });
    stream.on('error', () => undefined);
    return stream;
  }

  test('bytes go both ways, and each side may end', async () => {
    const session = await open((request) => accepting(request));
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
    const stream = connect(session);
    const head = await new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve));
    assert.deepEqual(
      [head[':status'], head['sec-websocket-protocol'], head['sec-websocket-accept'], head['upgrade']],
      [200, 'chat', undefined, undefined],
    );
    const request = await recorder.request();
    const { socket } = request.connection;
    assert.equal(request.method, 'GET');
    assert.deepEqual(
      [fieldValue(request, 'upgrade'), fieldValue(request, 'sec-websocket-version')],
      ['websocket', '13'],
    );
    let atBackend = '';
    socket.removeAllListeners('data');
    socket.on('data', (bytes: Buffer) => {
      atBackend += bytes.toString('latin1');
    });
    let atClient = '';
    stream.on('data', (bytes: Buffer) => {
      atClient += bytes.toString('latin1');
    });
    stream.write('\x81\x85\0\0\0\0hello', 'latin1');
    await waitUntil(() => atBackend === '\x81\x85\0\0\0\0hello', 'the client’s frame');
    socket.write('\x81\x02hi', 'latin1');
    await waitUntil(() => atClient === '\x81\x02hi', 'the backend’s frame');
    const closed = new Promise((resolve) => stream.on('close', resolve));
    stream.end();
    await waitUntil(() => request.connection.isEnded, 'FIN at the backend');
    await closed;
    assert.equal(stream.rstCode, 0);
  });

  test('a reset of the backend is told as CANCEL', async () => {
    const stream = connect(await open((request) => accepting(request)));
    await new Promise((resolve) => stream.once('response', resolve));
    (await recorder.request()).connection.socket.resetAndDestroy();
    await waitUntil(() => stream.destroyed, 'the stream to end');
    assert.equal(stream.rstCode, errorCodes.cancel);
  });

  test('the key that a proxy passes on for its client is the one key, and the proof goes back', async () => {
    const session = await open((request) => accepting(request));
    const stream = connect(session, { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' });
    const head = await new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve));
    assert.deepEqual([head[':status'], head['sec-websocket-accept']], [200, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=']);
    const { fields } = await recorder.request();
    assert.deepEqual(
      fields.filter(([name]) => name === 'sec-websocket-key').map(([, value]) => value),
      ['dGhlIHNhbXBsZSBub25jZQ=='],
    );
    stream.destroy();
  });

  test('what comes with the request, its end included, waits for the tunnel', async () => {
    let atBackend = '';
    await open(({ connection, ...request }) => {
      connection.socket.removeAllListeners('data');
      connection.socket.on('data', (bytes: Buffer) => {
        atBackend += bytes.toString('latin1');
      });
      accepting({ connection, ...request });
    });
    const client = await H2Client.open({ port: sluice.httpPort });
    try {
      client.greet();
      const lines = [':method: CONNECT', ':protocol: websocket', ':scheme: http', ':path: /ws', ':authority: gw.test'];
      client.send(
        client.headers(1, [...lines, 'sec-websocket-version: 13'], false),
        frame(frameTypes.data, 0, 1, '\x81\x85\0\0\0\0hello'),
        frame(frameTypes.data, frameFlags.endStream, 1, '\x88\x80\0\0\0\0'),
      );
      const request = await recorder.request();
      await waitUntil(() => request.connection.isEnded, 'FIN at the backend');
      assert.equal(atBackend, '\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0');
    } finally {
      client.destroy();
    }
  });

  test('a backend that refuses, or proves nothing, is no tunnel', async () => {
    const session = await open((request) => answer(request, 'no', 403));
    const refused = connect(session);
    const head = await new Promise<Record<string, unknown>>((resolve) => refused.once('response', resolve));
    assert.equal(head[':status'], 403);
    refused.resume();
    recorder.onRequest = (request) => accepting(request, 'bm90IHRoZSBwcm9vZg==');
    const lying = connect(session);
    const second = await new Promise<Record<string, unknown>>((resolve) => lying.once('response', resolve));
    assert.equal(second[':status'], 502);
  });

  test('CONNECT for anything else is refused, and no backend hears of it', async () => {
    await open();
    const client = await H2Client.open({ port: sluice.httpPort });
    client.greet();
    const about = [':scheme: http', ':path: /', ':authority: gw.test'];
    client.send(
      client.headers(1, [':method: CONNECT', ':protocol: connect-udp', ...about], false),
      client.headers(3, [':method: CONNECT', ':protocol: websocket', ...about]),
      client.headers(5, [':method: CONNECT', ':authority: gw.test:443'], false),
    );
    await waitUntil(() => [1, 3, 5].every((id) => client.answer(id).statuses.length > 0), 'the answers');
    const statuses = [1, 3, 5].map((id) => client.answer(id).statuses.at(-1));
    client.destroy();
    assert.deepEqual(statuses, [501, 400, 501]);
    assert.equal(recorder.requests.length, 0);
  });
});
