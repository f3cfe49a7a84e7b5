import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { openPeer } from '../kit/h2peer.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a call whose client only listens goes on while its server talks, and no longer', async () => {
  const bodyIdleMs = 1_500;
  let isTalking = true;
  const backend = await H2Backend.start({
    onRequest: ({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      const timer = setInterval(() => isTalking && stream.write('tick'), 50);
      stream.on('close', () => clearInterval(timer));
    },
  });
  const gateway = await testGateway(
    [...plainTable([{ address: '127.0.0.1', port: backend.port }]), row('backend', { id: 'b', protocol: 'h2c' })],
    { bodyIdleMs },
  );
  opened.push(backend, gateway);
  const session = await openPeer({ port: gateway.port });
  opened.push({ stop: async () => session.destroy() });
  const head = { ':method': 'POST', ':path': '/', ':authority': 'gw.test', 'content-type': 'application/grpc' };
  const stream = session.request(head, { endStream: false });
  const beganMs = performance.now();
  stream.on('error', () => undefined);
  stream.resume();
  stream.write('subscribe');
  await waitUntil(() => performance.now() > beganMs + 2 * bodyIdleMs || stream.closed, 'the call to last');
  assert.equal(stream.closed, false);
  assert.equal(gateway.records.length, 0);
  isTalking = false;
  await waitUntil(() => gateway.records.length === 1, 'the call to end');
  assert.equal(gateway.records[0]?.flag, 'DBT');
});
