import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queryObjects } from 'node:v8';
import { Circuit } from '../../proxy/select/circuit.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const circuit = { connections: 5, pending: 0, requests: 0, retries: 0 };

test('nothing is kept of backends with limits that are gone, though their endpoint stays with another', async (context) => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  context.after(() => recorder.stop());
  const h2 = await H2Backend.start();
  context.after(() => h2.stop());
  for (const [protocol, port] of [
    ['http', recorder.port],
    ['h2c', h2.port],
  ] as const) {
    const endpoint = { address: '127.0.0.1', port };
    const gateway = await testGateway(plainTable([endpoint]));
    context.after(() => gateway.stop());
    const client = await RawClient.open({ port: gateway.port });
    context.after(() => client.destroy());
    const before = queryObjects(Circuit, { format: 'count' });
    for (let i = 0; i < 5; i++) {
      const id = `limited-${i}`;
      const { row: endpoints } = endpointsRow([endpoint]);
      const rows = [
        row('backend', { id, protocol, circuit }),
        row('endpoints', { ...(endpoints as object), id, backendIds: [id] }),
        row('route', { id: 'r', backends: [{ backendId: id, weight: 1, filters: [] }] }),
      ];
      gateway.apply(rows);
      client.send(get('/', 'a'));
      await waitUntil(() => gateway.records.length === i + 1, 'the record');
      assert.equal(gateway.records[i]?.status, 200);
      const deletes = rows.slice(0, 2).map(({ kind }) => ({ kind, id }));
      gateway.live.apply({ upserts: [row('route', { id: 'r' })], deletes }, 'gone', performance.now());
      await waitUntil(() => gateway.gateway.counts().upstream === 0, 'its connections to be closed');
    }
    // The last one may not be out of everybody's hands yet.
    assert.ok(queryObjects(Circuit, { format: 'count' }) <= before + 1);
  }
});
