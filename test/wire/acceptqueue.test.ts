import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { waitingToBeAccepted } from '../../proxy/listen/acceptqueue.ts';
import { deafListener } from '../kit/deaflistener.ts';

test('those are counted who wait in the queues of the sockets that were named', async (t) => {
  const [one, other, third] = await Promise.all([deafListener(8), deafListener(8), deafListener(8)]);
  for (const each of [one, other, third]) t.after(() => each.close());
  for (const { port } of [one, one, one, other, third]) {
    const client = connect({ port, host: '127.0.0.1' });
    t.after(() => client.destroy());
    await once(client, 'connect');
  }
  assert.equal(waitingToBeAccepted([one.descriptor, other.descriptor]), 4);
  assert.equal(waitingToBeAccepted([third.descriptor]), 1);
  assert.equal(waitingToBeAccepted([]), 0);
});

test('a descriptor that is no socket counts for nothing', async (t) => {
  const deaf = await deafListener(8);
  t.after(() => deaf.close());
  const client = connect({ port: deaf.port, host: '127.0.0.1' });
  t.after(() => client.destroy());
  await once(client, 'connect');
  assert.equal(waitingToBeAccepted([-1, deaf.descriptor, 1_000_000]), 1);
});
