import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queryObjects } from 'node:v8';
import { H2Connection } from '../../proxy/listen/h2connection.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const connections = 20;

test('nothing is kept of HTTP/2 connections that are gone, however many of them had requests at once', async () => {
  const recorder = await Recorder.start({ onRequest: () => undefined });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  try {
    const clients = await Promise.all(Array.from({ length: connections }, () => H2Client.open({ port: gateway.port })));
    for (const client of clients) {
      client.greet();
      client.send(client.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
    }
    await waitUntil(() => recorder.requests.length === connections, 'all requests');
    for (const client of clients) client.client.socket.resetAndDestroy();
    await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connections to end');
    assert.equal(gateway.records.length, connections);
    // What the last one was told of is on the stack until the turn is over.
    await new Promise(setImmediate);
    assert.equal(queryObjects(H2Connection, { format: 'count' }), 0);
  } finally {
    await gateway.stop();
    await recorder.stop();
  }
});
