import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { test } from 'node:test';
import { collectGarbage } from '../kit/garbage.ts';
import { testGateway } from '../kit/gateway.ts';
import { answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const trailerBytes = 30_000;
const connections = 5;
const streams = 90;

test('nothing is kept of the trailers of requests that are over, however many came at once', async () => {
  let held: RecordedRequest[] = [];
  const recorder = await Recorder.start({ onRequest: (request) => held.push(request) });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  /** All are open at once, and have sent their trailers before the first is answered. */
  const askAll = async (trailer: string) => {
    const clients = Array.from({ length: connections }, () => connect(`http://127.0.0.1:${gateway.port}`));
    const requests = clients.flatMap((client) =>
      Array.from({ length: streams }, () => {
        const request = client.request({ ':method': 'POST', ':authority': 'gw.test' }, { waitForTrailers: true });
        request.on('wantTrailers', () => request.sendTrailers({ x: trailer }));
        request.resume().end('body');
        return request;
      }),
    );
    await waitUntil(() => held.length === requests.length, 'all requests');
    for (const request of held) answer(request, 'ok');
    await Promise.all(requests.map((request) => once(request, 'close')));
    for (const client of clients) client.destroy();
    held = [];
    for (const { connection } of recorder.take()) connection.requests.length = 0;
    gateway.records.length = 0;
    await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connections to end');
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  try {
    const before = await askAll('short');
    const kept = ((await askAll('x'.repeat(trailerBytes))) - before) / (connections * streams);
    assert.ok(kept < trailerBytes / 2, `${Math.round(kept)} bytes of each`);
  } finally {
    await gateway.stop();
    await recorder.stop();
  }
});
