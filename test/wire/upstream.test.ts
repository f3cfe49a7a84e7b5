import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
/** Accepts and closes at once. */
let slammer: Recorder;
/** Reads the request, then closes without a word. */
let mute: Recorder;
let secure: Recorder;
let sluice: Standalone;

function site(name: string, ports: readonly number[], annotations: Record<string, string> = {}): Manifest[] {
  return [ingress({ name, host: `${name}.test`, paths: { '/': name }, annotations }), ...service(name, ports)];
}

before(async () => {
  recorder = await Recorder.start();
  slammer = await Recorder.start({ onConnection: (connection) => connection.socket.destroy() });
  mute = await Recorder.start({ onRequest: (request) => request.connection.socket.end() });
  secure = await Recorder.start({ tls: await certificateFor(['backend.test']) });
  // Nobody listens there.
  const [halfDead = 0, dead = 0] = await freePorts(2);
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ...site('plain', [recorder.port]),
      ...site('half-dead', [recorder.port, halfDead]),
      ...site('dead', [dead]),
      ...site('slams', [recorder.port, slammer.port], { 'load-balance': 'round_robin' }),
      ...site('mute', [mute.port]),
      ...site('silent', [recorder.port], { 'proxy-read-timeout': '1' }),
      ...site('secure', [secure.port], { 'backend-protocol': 'HTTPS' }),
      ...site('empty', []),
      ingress({ name: 'missing', host: 'missing.test', paths: { '/': 'nowhere' } }),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of [recorder, slammer, mute, secure]) await backend?.stop();
});

function plain(): void {
  recorder.onRequest = (request) => answer(request, 'ok');
  recorder.take();
}

test('the backend sees who asked, and nothing that the client made up about that', async () => {
  plain();
  const made = ['X-Forwarded-For: 6.6.6.6', 'X-Real-IP: 6.6.6.6', 'X-Forwarded-Host: evil', 'X-Forwarded-Proto: https'];
  const more = ['X-Forwarded-Port: 1', 'Forwarded: for=6.6.6.6', 'Proxy: http://evil', 'X-Request-ID: abc-123'];
  const response = await exchange({ port: sluice.httpPort }, get('/a?b=c', 'plain.test', [...made, ...more]));
  assert.equal(response.status, 200);
  const seen = await recorder.request();
  assert.equal(seen.target, '/a?b=c');
  assert.equal(fieldValue(seen, 'host'), 'plain.test');
  assert.equal(fieldValue(seen, 'x-forwarded-for'), '127.0.0.1');
  assert.equal(fieldValue(seen, 'x-real-ip'), '127.0.0.1');
  assert.equal(fieldValue(seen, 'x-forwarded-host'), 'plain.test');
  assert.equal(fieldValue(seen, 'x-forwarded-proto'), 'http');
  assert.equal(fieldValue(seen, 'x-forwarded-port'), String(sluice.httpPort));
  assert.equal(fieldValue(seen, 'x-request-id'), 'abc-123');
  assert.equal(fieldValue(seen, 'forwarded'), undefined);
  assert.equal(fieldValue(seen, 'proxy'), undefined);
});

test('a backend hears that the client takes trailers, for some send none unasked, and nothing else of TE', async () => {
  plain();
  const wishes: [fields: string[], te: string | undefined][] = [
    [['TE: trailers', 'Connection: TE'], 'trailers'],
    [['TE: deflate, trailers;q=0.5', 'Connection: TE'], 'trailers'],
    [['TE: gzip', 'Connection: TE'], undefined],
    [[], undefined],
  ];
  for (const [fields, te] of wishes) {
    assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'plain.test', fields))).status, 200);
    const seen = await recorder.request();
    recorder.take();
    assert.equal(fieldValue(seen, 'te'), te);
    assert.equal(fieldValue(seen, 'connection'), te && 'TE');
  }
});

test('a request without an id gets one, and it is another for the next request', async () => {
  plain();
  await exchange({ port: sluice.httpPort }, get('/', 'plain.test'));
  await exchange({ port: sluice.httpPort }, get('/', 'plain.test', ['X-Request-ID: not fit for a log']));
  const ids = recorder.take().map((request) => fieldValue(request, 'x-request-id') ?? '');
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
  assert.equal(new Set(ids).size, 2);
});

test('connections to a backend are reused', async () => {
  plain();
  const client = await RawClient.open({ port: sluice.httpPort });
  for (let i = 0; i < 20; i++) {
    client.send(get(`/${i}`, 'plain.test'));
    await client.response(i);
  }
  client.destroy();
  assert.equal(new Set(recorder.take().map((request) => request.connection)).size, 1);
});

test('a backend that closes its idle connections costs no request', async () => {
  recorder.take();
  recorder.onRequest = (request) => {
    answer(request, 'ok');
    // From at once to a few ms later: some of these closes cross the next request on the way.
    setTimeout(() => request.connection.socket.destroySoon(), Math.floor(Math.random() * 4));
  };
  const load = Load.start({ port: sluice.httpPort, host: 'plain.test', connections: 4, requestsPerSecond: 800 });
  await waitUntil(() => load.report.answered + load.report.failures.length >= 1500, '1,500 answers');
  assert.deepEqual((await load.stop()).failures, []);
});

test('an endpoint that refuses connections costs no request', async () => {
  plain();
  const client = await RawClient.open({ port: sluice.httpPort });
  for (let i = 0; i < 100; i++) {
    client.send(get(`/${i}`, 'half-dead.test'));
    assert.equal((await client.response(i)).status, 200);
  }
  client.destroy();
});

test('a body reaches the endpoint that takes it whole when another one refused first', async () => {
  plain();
  for (let i = 0; i < 10; i++) {
    const head = `POST /${i} HTTP/1.1\r\nHost: half-dead.test\r\nContent-Length: 20000\r\n\r\n`;
    const response = await exchange({ port: sluice.httpPort }, head + 'b'.repeat(20_000), 'POST');
    assert.equal(response.status, 200);
  }
  assert.ok(recorder.take().every((request) => request.body.length === 20_000));
});

test('an endpoint that keeps failing is left out', async () => {
  plain();
  slammer.connections.splice(0);
  for (let i = 0; i < 200; i++) {
    assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'slams.test'))).status, 200);
  }
  const tried = slammer.connections.length;
  assert.ok(tried > 0 && tried < 50, `${tried} of 200 requests were tried on it`);
});

test('a request that may have been processed is not sent twice when it is not idempotent', async () => {
  mute.take();
  const bytes = 'POST /once HTTP/1.1\r\nHost: mute.test\r\nContent-Length: 2\r\n\r\nhi';
  const response = await exchange({ port: sluice.httpPort }, bytes, 'POST');
  assert.equal(response.status, 502);
  assert.equal(mute.take().length, 1);
});

test('a backend that says nothing is a 504 by the read timeout of its route', async () => {
  recorder.onRequest = () => undefined;
  const response = await exchange({ port: sluice.httpPort }, get('/', 'silent.test'));
  assert.equal(response.status, 504);
});

test('backends that speak TLS are spoken to by TLS', async () => {
  secure.onRequest = (request) => answer(request, 'over tls');
  const response = await exchange({ port: sluice.httpPort }, get('/', 'secure.test'));
  assert.equal(response.body.toString(), 'over tls');
});

const pages: readonly (readonly [host: string, status: number])[] = [
  ['unknown.test', 404],
  ['missing.test', 503],
  ['empty.test', 503],
  ['dead.test', 502],
];
for (const [host, status] of pages) {
  test(`the gateway itself answers for ${host}: ${status}, who says so, a request id and why`, async () => {
    const page = await exchange({ port: sluice.httpPort }, get('/', host, ['X-Request-ID: find-me']));
    assert.equal(page.status, status);
    assert.match(fieldValue(page, 'content-type') ?? '', /^text\/html/);
    assert.match(page.body.toString(), /gateway \(Sluice\)/);
    assert.ok(page.body.includes('find-me'));
    const json = await exchange({ port: sluice.httpPort }, get('/', host, ['Accept: application/json']));
    const told = JSON.parse(json.body.toString()) as Record<string, unknown>;
    assert.equal(told['gateway'], 'Sluice');
    assert.equal(told['status'], status);
    assert.match(String(told['requestId']), /^[0-9a-f]{32}$/);
    assert.match(String(told['message']), /^[A-Z].*\.$/);
  });
}
