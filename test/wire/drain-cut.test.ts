import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('what is cut off when the grace is over stands in the log, and not as the doing of its client', async () => {
  const recorder = await Recorder.start({
    onRequest: ({ target, connection }) => {
      if (target === '/begun') connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin');
    },
  });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const [silent, begun] = [await RawClient.open(gateway), await RawClient.open(gateway)];
  const streams = await H2Client.open(gateway);
  for (const each of [silent, begun, streams]) opened.push({ stop: async () => each.destroy() });
  opened.push(recorder);
  silent.send(get('/silent', 'gw.test'));
  begun.send(get('/begun', 'gw.test'));
  streams.greet();
  streams.send(streams.headers(1, [':method: GET', ':scheme: http', ':path: /stream', ':authority: gw.test']));
  await waitUntil(() => begun.received.includes('begin') && recorder.requests.length === 3, 'all to be under way');
  await gateway.stop();
  assert.deepEqual(gateway.records.map(({ target, status, flag }) => `${target} ${status} ${flag}`).sort(), [
    '/begun 200 GE',
    '/silent 499 GE',
    '/stream 499 GE',
  ]);
});
