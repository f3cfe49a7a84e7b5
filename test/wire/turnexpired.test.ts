import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awaitTurn } from '../../proxy/listen/turns.ts';
import { testGateway } from '../kit/gateway.ts';
import { RawClient } from '../kit/rawclient.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

test('a long head whose turn does not come in the time of a head is told that there is no room, and may come again', async (t) => {
  const gateway = await testGateway(plainTable([]), { headMs: 50 });
  const client = await RawClient.open({ port: gateway.port });
  t.after(async () => {
    client.destroy();
    await gateway.stop();
  });
  // What others of its address have sent before it: a second's work.
  let left = 1_000;
  for (let i = left; i > 0; i--) {
    awaitTurn('127.0.0.1', () => {
      left--;
      for (const endMs = performance.now() + 1; performance.now() < endMs; );
    });
  }
  client.send(`GET / HTTP/1.1\r\nHost: gw.test\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`);
  const { status, body } = await client.response();
  assert.equal(status, 503);
  assert.match(body.toString(), /no room/);
  assert.ok(left > 0, 'its turn had come');
  await waitUntil(() => left === 0, 'the others to have theirs');
  assert.deepEqual(
    gateway.records.map(({ flag }) => flag),
    ['OM'],
  );
});
