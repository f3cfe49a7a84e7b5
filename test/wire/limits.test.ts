import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type CorpusCase, corpusCases, decodeBytes } from '../kit/corpus.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { type RawResponse, readResponses } from '../kit/response.ts';
import { plainTable } from '../kit/rows.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { faultsOfClientCase, play } from '../kit/verdict.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

/** Short enough to wait for, long enough that a busy machine does not run into them by chance where it should not. */
const limits = {
  'head-ms': 700,
  'idle-ms': 1_500,
  'body-idle-ms': 700,
  'write-idle-ms': 1_500,
  'handshake-ms': 700,
  'request-line-bytes': 1_024,
  'head-bytes': 4_096,
  'head-fields': 20,
  'requests-per-connection': 5,
  connections: 40,
};

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
      ingress({
        name: 'small',
        host: 'small.test',
        paths: { '/': 'recorder' },
        annotations: { 'proxy-body-size': '1k' },
      }),
      ...service('recorder', [recorder.port]),
    ],
    args: Object.entries(limits).flatMap(([name, value]) => [`--limit-${name}`, String(value)]),
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

async function open(): Promise<RawClient> {
  recorder.onRequest = (request) => answer(request, 'ok');
  recorder.take();
  return await RawClient.open({ port: sluice.httpPort });
}

/** The gateway answers with this status by itself, and ends the connection. */
async function assertRefused(client: RawClient, status: number): Promise<void> {
  assert.equal((await client.response()).status, status);
  await client.closed();
  client.destroy();
}

test('a request line over the limit is 414, even while it still arrives', async () => {
  const client = await open();
  client.send(`GET /${'a'.repeat(2_000)}`);
  await assertRefused(client, 414);
});

test('a head over the limit is 431, by bytes and by fields', async () => {
  const bytes = await open();
  bytes.send(`GET / HTTP/1.1\r\nHost: gw.test\r\nX-Big: ${'a'.repeat(5_000)}`);
  await assertRefused(bytes, 431);
  const fields = await open();
  fields.send(
    get(
      '/',
      'gw.test',
      Array.from({ length: 25 }, (_, index) => `X-${index}: 1`),
    ),
  );
  await assertRefused(fields, 431);
  assert.equal(recorder.requests.length, 0);
});

test('whoever sets nothing allows a request line of 8 KiB, a head of 32 KiB and a hundred fields', async (context) => {
  recorder.onRequest = (request) => answer(request, 'ok');
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  context.after(() => gateway.stop());
  const statusOf = async (request: string) => (await exchange({ port: gateway.port }, request)).status;
  const fields = (count: number) => Array.from({ length: count }, (_, index) => `X-${index}: 1`);
  assert.equal(await statusOf(get(`/${'a'.repeat(8_100)}`, 'gw.test')), 200);
  assert.equal(await statusOf(get(`/${'a'.repeat(8_200)}`, 'gw.test')), 414);
  const streams = await H2Client.open(gateway);
  context.after(() => streams.destroy());
  streams.greet();
  for (const [index, bytes] of [8_100, 8_200].entries()) {
    const path = `:path: /${'a'.repeat(bytes)}`;
    streams.send(streams.headers(2 * index + 1, [':method: GET', ':scheme: http', path, ':authority: gw.test']));
  }
  assert.deepEqual((await streams.answered(1)).statuses, [200]);
  assert.deepEqual((await streams.answered(3)).statuses, [414]);
  assert.equal(await statusOf(get('/', 'gw.test', [`X-Big: ${'a'.repeat(32_600)}`])), 200);
  assert.equal(await statusOf(get('/', 'gw.test', [`X-Big: ${'a'.repeat(32_800)}`])), 431);
  assert.equal(await statusOf(get('/', 'gw.test', fields(99))), 200);
  assert.equal(await statusOf(get('/', 'gw.test', fields(100))), 431);
  recorder.take();
});

test('a body over the limit of its route is 413: by Content-Length at once, chunked while it arrives', async () => {
  const known = await open();
  known.send('POST / HTTP/1.1\r\nHost: small.test\r\nContent-Length: 1025\r\n\r\n');
  await assertRefused(known, 413);
  assert.equal(recorder.requests.length, 0);
  const chunked = await open();
  chunked.send('POST / HTTP/1.1\r\nHost: small.test\r\nTransfer-Encoding: chunked\r\n\r\n');
  for (let i = 0; i < 3; i++) chunked.send(`200\r\n${'b'.repeat(512)}\r\n`);
  await assertRefused(chunked, 413);
  await waitUntil(() => recorder.requests.every((request) => request.connection.isEnded), 'the upload to be aborted');
  assert.ok(recorder.take().every((request) => !request.isComplete));
  const fits = await exchange(
    { port: sluice.httpPort },
    `POST / HTTP/1.1\r\nHost: small.test\r\nContent-Length: 1024\r\n\r\n${'b'.repeat(1024)}`,
  );
  assert.equal(fits.status, 200);
});

/** How each case of the corpus that needs time is played; resolves with its answers. */
const slowly: Readonly<Record<string, (each: CorpusCase, client: RawClient) => Promise<RawResponse[]>>> = {
  async 'SL-001'(each, client) {
    const drip = setInterval(() => client.send('x'), 50);
    const responses = await play(each, client);
    clearInterval(drip);
    assert.equal(responses[0]?.status, 408, 'however steadily it drips');
    return responses;
  },
  async 'SL-004'(each, client) {
    const responses = await play(each, client);
    assert.equal(responses[0]?.status, 408);
    await waitUntil(() => recorder.requests.every(({ connection }) => connection.isEnded), 'the upload to be aborted');
    assert.ok(recorder.requests.every(({ isComplete }) => !isComplete));
    return responses;
  },
  async 'SL-005'(each, client) {
    const bytes = 1 << 26;
    recorder.onRequest = (request) => answerBytes(request, `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
    client.send(decodeBytes(each.raw));
    const { connection } = await recorder.request();
    await waitUntil(() => client.receivedBytes > 0, 'the head');
    client.socket.pause();
    connection.socket.write(Buffer.alloc(bytes));
    await waitUntil(() => connection.isEnded, 'the backend connection to be given up');
    client.socket.resume();
    await client.closed();
    assert.ok(client.receivedBytes < bytes / 2, 'the rest waited in the backend');
    return readResponses(client.received, true);
  },
};

for (const each of corpusCases('client-h1').filter(({ slow }) => slow === true)) {
  test(`${each.id} ${each.note}`, async () => {
    const client = await open();
    const responses = await (slowly[each.id] ?? play)(each, client);
    client.destroy();
    assert.deepEqual(faultsOfClientCase(each, { responses, recorded: recorder.take() }), []);
    recorder.onRequest = (request) => answer(request, 'ok');
    assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'gw.test'))).status, 200);
  });
}

test('an idle connection is closed without an answer, before its first request and between two', async () => {
  const silent = await open();
  const used = await open();
  used.send(get('/', 'gw.test'));
  await used.response();
  await silent.closed();
  await used.closed();
  assert.equal(silent.receivedBytes, 0);
  assert.doesNotMatch(used.received.toString(), /408/);
});

test('an empty line behind a request, which some clients send with a body, begins nothing; what follows it is the next request', async () => {
  for (const line of ['\r\n', '\r']) {
    const client = await open();
    client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\nabc${line}`);
    assert.equal((await client.response()).status, 200);
    await client.closed();
    assert.equal(readResponses(client.received, true).length, 1, 'closed as idle');
    client.destroy();
  }
  const client = await open();
  for (let nth = 0; nth < 3; nth++) {
    client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\nabc\r\n`);
    assert.equal((await client.response(nth)).status, 200);
  }
  client.send('GET / HT');
  assert.equal((await client.response(3)).status, 408);
  await client.closed();
  client.destroy();
});

test('a TLS handshake that does not come is given up', async () => {
  const client = await RawClient.open({ port: sluice.httpsPort });
  await client.closed();
  client.destroy();
});

test('a connection is closed, politely, after its number of requests', async () => {
  const client = await open();
  for (let i = 0; i < 5; i++) {
    client.send(get('/', 'gw.test'));
    const response = await client.response(i);
    assert.equal(response.status, 200);
    assert.equal(fieldValue(response, 'connection')?.toLowerCase() === 'close', i === 4);
  }
  await client.closed();
  client.destroy();
});

test('connections over the limit are refused, and there is room again when others go', async () => {
  const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.open({ port: sluice.httpPort })));
  for (const client of clients) client.send(get('/', 'gw.test'));
  const statuses = await Promise.all(
    clients.map(async (client) => (await client.response().catch(() => null))?.status ?? 'closed'),
  );
  assert.ok(statuses.filter((status) => status === 200).length >= 30, statuses.join(' '));
  assert.ok(
    statuses.some((status) => status === 503 || status === 'closed'),
    statuses.join(' '),
  );
  for (const client of clients) client.destroy();
  await eventually(async () => {
    const response = await exchange({ port: sluice.httpPort }, get('/', 'gw.test')).catch(() => undefined);
    return response?.status === 200 ? true : undefined;
  }, 'room for new connections');
});
