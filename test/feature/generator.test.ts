import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { startGenerator } from '../../load/bench/load.ts';

test('requests that were due and had no answer are told, those that no connection was free for, too', async (context) => {
  const mute = createServer((socket) => socket.on('error', () => undefined).resume());
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  context.after(() => mute.close());
  const load = await startGenerator(
    {
      ...{ port: (mute.address() as AddressInfo).port, isTls: false, connections: 1, hosts: 1, paths: 1, path: '/' },
      ...{ bodyBytes: 0, isFreshEach: false, isResumed: false, isUpgraded: false },
    },
    '0',
  );
  const { requests, failed } = await load.run({ rate: 100, seconds: 0.5 });
  await load.stop();
  assert.equal(requests, 0);
  assert.ok(failed > 1, `${failed}`);
});
