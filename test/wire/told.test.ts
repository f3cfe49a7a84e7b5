import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { Collector } from '../kit/collector.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ask, openPeer } from '../kit/h2peer.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const Line = z.object({
  start_time: z.string(),
  path: z.string().nullable(),
  protocol: z.string(),
  response_code: z.number(),
  response_flags: z.string(),
  bytes_sent: z.number(),
  duration: z.number(),
  request_id: z.string().nullable(),
  user_agent: z.string().nullable(),
  x_forwarded_for: z.string().nullable(),
});

/** What the access log and spans tell, held against what clients had and backends did. */

let collector: Collector;
let recorder: Recorder;
let gateway: Standalone;

const settings = (): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'sluice' },
  data: {
    'enable-opentelemetry': 'true',
    'otlp-collector-host': '127.0.0.1',
    'otlp-collector-port': String(collector.port),
    'otel-schedule-delay-millis': '1',
  },
});

before(async () => {
  collector = await Collector.start();
  recorder = await Recorder.start({
    onRequest({ target, connection: { socket } }) {
      if (target.startsWith('/cut')) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf', () => socket.destroy());
      } else if (target.startsWith('/hints')) {
        socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n');
      } else if (target.startsWith('/wait')) {
        // Its client ends it.
      } else if (target.startsWith('/talk')) {
        const accept = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
        socket.end(`HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n\r\nbye`);
      } else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
  });
  gateway = await Standalone.start({
    manifests: [
      ingressClass(),
      settings(),
      ingress({ name: 'web', host: 'web.test', paths: { '/': 'web' } }),
      ingress({ name: 'idle', host: 'idle.test', paths: { '/': 'idle' } }),
      ...service('web', [recorder.port]),
      ...service('idle', []),
    ],
    args: ['--configmap', 'sluice/settings', '--access-log', 'stdout'],
  });
});

after(async () => {
  await gateway?.stop();
  await recorder?.stop();
  await collector?.stop();
});

async function lineOf(isIt: (line: z.infer<typeof Line>) => boolean, what: string): Promise<z.infer<typeof Line>> {
  return await eventually(async () => {
    const lines = gateway.process.stdout.split('\n').filter((line) => /^{"start_time.*}$/.test(line));
    return lines.map((line) => Line.parse(JSON.parse(line))).find(isIt);
  }, `the line of ${what}`);
}

const lineOfPath = (path: string) => lineOf((line) => line.path === path, path);

const upgrade = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

test('bytes_sent is every byte that a client had: interim heads, the head of a WebSocket and trailers, too', async () => {
  for (const [path, fields] of [
    ['/ok', []],
    ['/hints', []],
    ['/talk', upgrade],
  ] as const) {
    const client = await RawClient.open({ port: gateway.httpPort });
    client.send(get(path, 'web.test', fields));
    if (fields.length === 0) await client.response(0);
    client.end();
    await client.closed();
    client.destroy();
    assert.equal((await lineOfPath(path)).bytes_sent, client.receivedBytes, path);
  }
});

test('over HTTP/2 interim heads and trailers are counted with the head', async () => {
  const session = await openPeer({ port: gateway.httpPort });
  const { interims, trailers, body } = await ask(session, { ':path': '/hints2', ':authority': 'web.test' });
  session.close();
  assert.deepEqual([interims[0]?.[':status'], trailers['x-sum'], String(body)], [103, '1', 'ok']);
  const { bytes_sent } = await lineOfPath('/hints2');
  const plain = await lineOfPath('/hints');
  // The same fields, without the status lines, the chunks and what ends them.
  const framing =
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n0\r\n\r\n';
  assert.equal(bytes_sent, plain.bytes_sent - framing.length);
});

const clients: { path: string; fields: string[]; agent: string | null; forwardedFor: string | null }[] = [
  { path: '/nobody', fields: [], agent: null, forwardedFor: null },
  { path: '/one', fields: ['User-Agent: one/1'], agent: 'one/1', forwardedFor: null },
  { path: '/again', fields: ['User-Agent: one/1'], agent: 'one/1', forwardedFor: null },
  { path: '/two', fields: ['X-Forwarded-For: 192.0.2.9', 'user-agent: two'], agent: 'two', forwardedFor: '192.0.2.9' },
  { path: '/both', fields: ['User-Agent: a', 'X-Forwarded-For: b', 'USER-AGENT: c'], agent: 'a, c', forwardedFor: 'b' },
  { path: '/like', fields: ['User-Agents: x', 'XForwarded-For: y'], agent: null, forwardedFor: null },
];

test('what a client says of itself is told as it says it, and its request by the id that the backend has', async () => {
  const client = await RawClient.open({ port: gateway.httpPort });
  for (const [at, { path, fields, agent, forwardedFor }] of clients.entries()) {
    client.send(get(path, 'web.test', fields));
    await client.response(at);
    const line = await lineOfPath(path);
    assert.deepEqual([line.user_agent, line.x_forwarded_for], [agent, forwardedFor], path);
    const asked = recorder.requests.find(({ target }) => target === path);
    assert.match(String(asked?.head), new RegExp(`\r\nX-Request-ID: ${line.request_id}\r\n`));
  }
  client.destroy();
});

test('a request is told from its first byte on, though its head took long or never came', async () => {
  const slow = await RawClient.open({ port: gateway.httpPort });
  const never = await RawClient.open({ port: gateway.httpPort });
  // That the request before it is answered shows that the beginning was read.
  never.send(`${get('/before', 'web.test')}GET /never HTTP/1.1\r\nHost: web`);
  slow.send(`${get('/before', 'web.test')}GET /late HTTP/1.1\r\nHost: web`);
  for (const client of [slow, never]) await client.response(0);
  const readAtMs = Date.now();
  await eventually(async () => Date.now() - readAtMs >= 250 || undefined, 'a quarter of a second');
  slow.send('.test\r\n\r\n');
  never.end();
  for (const client of [slow, never]) await client.response(1);
  for (const client of [slow, never]) client.destroy();
  const unread = await lineOf((line) => line.response_flags === 'DC', 'the head that never came');
  assert.ok(unread.duration >= 200, String(unread.duration));
  const late = await lineOfPath('/late');
  assert.ok(late.duration >= 200, String(late.duration));
  const span = await collector.spanOf('/late');
  const tookMs = Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
  assert.ok(Math.abs(tookMs - late.duration) < 1, `${tookMs} ${late.duration}`);
  // The next request of a connection is its own.
  const again = await RawClient.open({ port: gateway.httpPort });
  again.send('GET /first HTTP/1.1\r\nHost: web');
  await eventually(async () => Date.now() - readAtMs >= 500 || undefined, 'another quarter');
  again.send(`.test\r\n\r\n`);
  await again.response(0);
  again.send(get('/second', 'web.test'));
  await again.response(1);
  again.destroy();
  const [first, second] = [await lineOfPath('/first'), await lineOfPath('/second')];
  assert.ok(Date.parse(second.start_time) >= Date.parse(first.start_time) + Math.floor(first.duration) - 1);
});

test('an answer that was cut off is no success in a trace, nor is an error in the way of gRPC', async () => {
  const client = await RawClient.open({ port: gateway.httpPort });
  client.send(get('/cut', 'web.test'));
  await client.closed();
  client.destroy();
  const cut = await collector.spanOf('/cut');
  assert.deepEqual(
    [cut.status.code, cut.attributes['error.type'], cut.attributes['http.response.status_code']],
    [2, 'UC', 200],
  );
  const session = await openPeer({ port: gateway.httpPort });
  const call = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
  await ask(session, { ...call, ':path': '/a.B/Lost', ':authority': 'idle.test' });
  await ask(session, { ...call, ':path': '/a.B/Unknown', ':authority': 'nobody.test' });
  session.close();
  const lost = await collector.spanOf('/a.B/Lost');
  assert.deepEqual([lost.status.code, lost.attributes['error.type']], [2, 'NE']);
  const unknown = await collector.spanOf('/a.B/Unknown');
  assert.deepEqual([unknown.status.code, unknown.attributes['error.type']], [undefined, undefined]);
});

test('a client that breaks a rule of HTTP/2 is told as that, and not as one that went away', async () => {
  const request = (path: string) => [':method: POST', ':scheme: http', `:path: ${path}`, ':authority: web.test'];
  const open = async (...frames: ((client: H2Client) => Buffer)[]) => {
    const client = await H2Client.open({ port: gateway.httpPort });
    client.greet();
    client.send(...frames.map((make) => make(client)));
    return client;
  };
  const waiting = (path: string) =>
    eventually(
      async () => recorder.requests.some(({ target }) => target === path) || undefined,
      `the backend to have ${path}`,
    );
  const outcome = async (path: string | null) => {
    const line = await lineOf((each) => each.protocol.startsWith('HTTP/2') && each.path === path, String(path));
    return [line.response_code, line.response_flags];
  };

  const malformed = await open((client) => client.headers(1, [':method: GET', ':path: /none']));
  assert.deepEqual(await outcome(null), [499, 'DPE']);

  const length = frame(frameTypes.data, 1, 1, Buffer.from('more than was said'));
  const lying = await open(
    (client) => client.headers(1, [...request('/lie'), 'content-length: 3'], false),
    () => length,
  );
  assert.deepEqual(await outcome('/lie'), [499, 'DPE']);

  const breaking = await open((client) => client.headers(1, request('/wait/1')));
  await waiting('/wait/1');
  breaking.send(frame(frameTypes.data, 0, 0, Buffer.alloc(1)));
  assert.deepEqual(await outcome('/wait/1'), [499, 'DPE']);

  const leaving = await open((client) => client.headers(1, request('/wait/2')));
  await waiting('/wait/2');
  leaving.send(frame(frameTypes.rstStream, 0, 1, Buffer.from([0, 0, 0, 8])));
  assert.deepEqual(await outcome('/wait/2'), [499, 'DC']);

  const gone = await open((client) => client.headers(1, request('/wait/3')));
  await waiting('/wait/3');
  gone.client.socket.resetAndDestroy();
  assert.deepEqual(await outcome('/wait/3'), [499, 'DC']);
  for (const { client } of [malformed, lying, breaking, leaving]) client.destroy();
  await eventually(
    async () => (await gateway.admin('/metrics')).includes('\nsluice_http_requests_in_flight 0\n') || undefined,
    'nothing to be in flight',
  );
});
