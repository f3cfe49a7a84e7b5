import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const lines = (path: string) => [':method: GET', ':scheme: http', `:path: ${path}`, ':authority: gw.test'];

test('a connection that is to end takes nothing new, though its client never says that it has heard so', async () => {
  const recorder = await Recorder.start({
    onRequest: (request) => (request.target === '/long' ? undefined : answer(request, 'ok')),
  });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), {
    ...{ requestsPerConnection: 2, lingerMs: 300 },
  });
  opened.push(recorder, gateway);
  const client = await H2Client.open({ port: gateway.port });
  opened.push({ stop: () => client.destroy() });
  client.greet();
  // No PING of the gateway is answered, and one stream stays open.
  client.send(client.headers(1, lines('/long')), client.headers(3, lines('/last')));
  assert.equal((await client.answered(3)).statuses.at(-1), 200);
  const goings = () => client.frames.filter(({ type }) => type === frameTypes.goaway);
  await waitUntil(() => goings().length === 2, 'the second word of the end');
  assert.equal(goings()[1]?.payload.readUInt32BE(0), 3);
  client.send(client.headers(5, lines('/after')));
  await client.settled();
  assert.deepEqual(
    recorder.requests.map(({ target }) => target),
    ['/long', '/last'],
  );
  answer(await recorder.request(0), 'ok');
  assert.equal((await client.answered(1)).statuses.at(-1), 200);
  await client.client.closed();
});

test('a connection whose client began with the last stream that there is ends like any other', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), {
    ...{ requestsPerConnection: 1, lingerMs: 300 },
  });
  opened.push(recorder, gateway);
  const client = await H2Client.open({ port: gateway.port });
  opened.push({ stop: () => client.destroy() });
  client.greet();
  client.send(client.headers(0x7fffffff, lines('/last')));
  assert.equal((await client.answered(0x7fffffff)).statuses.at(-1), 200);
  await client.client.closed();
});
