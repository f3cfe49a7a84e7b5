import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { waitingToBeAccepted } from '../../proxy/carry/acceptqueue.ts';
import { deafListener } from '../kit/deaflistener.ts';
import { waitUntil } from '../kit/wait.ts';

/** Of a client that is there until its test is over, however that ends. */
async function connected(t: TestContext, port: number): Promise<void> {
  const client = connect({ port, host: '127.0.0.1' }).on('error', () => undefined);
  t.after(() => client.destroy());
  await once(client, 'connect');
}

test('those are counted who wait in the queues of the sockets that were named', async (t) => {
  const [one, other, third] = await Promise.all([deafListener(8), deafListener(8), deafListener(8)]);
  for (const each of [one, other, third]) t.after(() => each.close());
  for (const { port } of [one, one, one, other, third]) await connected(t, port);
  // A client may know that it is connected before the kernel has the last packet of its handshake.
  await waitUntil(() => waitingToBeAccepted([one.descriptor, other.descriptor]) === 4, 'all of the two to be counted');
  await waitUntil(() => waitingToBeAccepted([third.descriptor]) === 1, 'the one of the third to be counted');
  assert.equal(waitingToBeAccepted([]), 0);
});

test('a descriptor that is no socket counts for nothing', async (t) => {
  const deaf = await deafListener(8);
  t.after(() => deaf.close());
  await connected(t, deaf.port);
  await waitUntil(() => waitingToBeAccepted([-1, deaf.descriptor, 1_000_000]) === 1, 'the one to be counted');
});
