import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

let backends: Recorder[];
let sluice: Standalone;

before(async () => {
  backends = [await Recorder.start({ onRequest: misbehave }), await Recorder.start({ onRequest: misbehave })];
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'backends' } }),
      ...service(
        'backends',
        backends.map((backend) => backend.port),
      ),
    ],
    workers: 2,
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of backends) await backend.stop();
});

const behaviours = ['good', 'chunked', 'close', 'cut', 'reset', 'slow', 'garbage', 'early'] as const;

/** The path says how the backend treats the request. */
function misbehave(request: RecordedRequest): void {
  const { socket } = request.connection;
  switch (request.target.slice(1)) {
    case 'chunked':
      answerBytes(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
      return;
    case 'close':
      answerBytes(request, 'HTTP/1.1 200 OK\r\n\r\nuntil close');
      socket.end();
      return;
    case 'cut':
      answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello');
      socket.end();
      return;
    case 'reset':
      socket.resetAndDestroy();
      return;
    case 'slow':
      setTimeout(() => answer(request, 'late'), 20);
      return;
    case 'garbage':
      answerBytes(request, 'SSH-2.0-OpenSSH\r\n\r\n');
      return;
    default:
      answer(request, 'ok');
  }
}

const paths = fc.constantFrom(...behaviours);

/** One thing after the other that a client does on one connection. */
const step = fc.oneof(
  paths.map((path) => ({ send: get(`/${path}`, 'gw.test') })),
  paths.map((path) => ({
    send: `POST /${path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10\r\n\r\n0123456789`,
  })),
  paths.map((path) => ({
    send: `POST /${path} HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n`,
  })),
  fc.constant({ send: '0\r\n\r\n' }),
  fc.constant({ send: 'GET / HTTP/1.1\r\nHo' }),
  fc.constant({ send: randomBytes(20).toString('latin1') }),
  fc.constant({ wait: 5 }),
  fc.constant({ end: true }),
);
const script = fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 6 }), resets: fc.boolean() });

test('whatever clients and backends do to each other, nothing stays behind', async () => {
  const scripts = fc.sample(script, { numRuns: 600, seed: 20261121 });
  for (let start = 0; start < scripts.length; start += 30) {
    await Promise.all(
      scripts.slice(start, start + 30).map(async ({ steps, resets }) => {
        const client = await RawClient.open({ port: sluice.httpPort });
        for (const each of steps) {
          if ('send' in each) client.send(each.send);
          else if ('end' in each) client.end();
          else await new Promise((resolve) => setTimeout(resolve, each.wait));
        }
        // A reset after a half-close is refused by libuv, and leaves the descriptor open.
        const isHalfClosed = steps.some((each) => 'end' in each);
        if (resets && !isHalfClosed && !client.socket.destroyed) client.socket.resetAndDestroy();
        else client.destroy();
      }),
    );
  }
  assert.equal((await exchange({ port: sluice.httpPort }, get('/good', 'gw.test'))).status, 200);
  await eventually(async () => {
    const metrics = await sluice.admin('/metrics');
    const inFlight = sumOf(metrics, 'sluice_http_requests_in_flight');
    const connections = sumOf(metrics, 'sluice_connections');
    return inFlight === 0 && connections === 0 ? true : undefined;
  }, 'the counts of requests and connections to come down to zero');
  const busy = backends.flatMap((backend) => backend.connections.filter((each) => !each.isClosed));
  await waitUntil(
    () => busy.every((each) => each.isClosed || each.requests.every((request) => request.isComplete)),
    'unfinished requests to be aborted at the backends',
  );
});

/** Sum of a metric over its series. */
function sumOf(metrics: string, name: string): number {
  const values = [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
  assert.ok(values.length > 0, `${name} is missing`);
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}
