import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { queryObjects } from 'node:v8';
import { H2Connection } from '../../proxy/forward/h2connection.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const connections = 20;

test('nothing is kept of HTTP/2 connections to backends that are gone, however many of them had requests at once', async () => {
  const sessions: ServerHttp2Session[] = [];
  const streams: ServerHttp2Stream[] = [];
  // Each request has a connection of its own.
  const backend = createServer({ settings: { maxConcurrentStreams: 1 } });
  backend.on('session', (session) => {
    session.on('error', () => undefined);
    sessions.push(session);
  });
  backend.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined);
    streams.push(stream);
  });
  await once(backend.listen(0, '127.0.0.1'), 'listening');
  const rows = plainTable([{ address: '127.0.0.1', port: (backend.address() as AddressInfo).port }]);
  const gateway = await testGateway(
    rows.map((each) => (each.kind === 'backend' ? row('backend', { ...each.row, protocol: 'h2c' }) : each)),
  );
  try {
    const clients = await Promise.all(
      Array.from({ length: connections }, () => RawClient.open({ port: gateway.port })),
    );
    for (const client of clients) client.send(get('/', 'gw.test'));
    await waitUntil(() => streams.length === connections, 'all requests');
    for (const stream of streams.splice(0)) {
      stream.respond({ ':status': 200 });
      stream.end('ok');
    }
    for (const client of clients) assert.equal((await client.response()).status, 200);
    for (const session of sessions.splice(0)) session.destroy();
    await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connections to end');
    for (const client of clients) client.destroy();
    // What the last one was told of is on the stack until the turn is over.
    await new Promise(setImmediate);
    assert.equal(queryObjects(H2Connection, { format: 'count' }), 0);
  } finally {
    await gateway.stop();
    backend.close();
  }
});
