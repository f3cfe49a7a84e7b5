import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startAttacked } from '../kit/attacked.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { RecordClient } from '../kit/recordclient.ts';
import { Recorder } from '../kit/recorder.ts';
import type { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await startAttacked({ 'site.test': recorder.port });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

const updatesOf = (client: RecordClient, count: number) =>
  Buffer.concat(Array.from({ length: count }, () => client.keyUpdate()));

test('who has TLS answer without end and takes no answer is given up', async () => {
  const client = await RecordClient.open(sluice.httpsPort, 'site.test');
  client.socket.pause();
  // Until then OpenSSL kept an answer to each, and the worker knew of none.
  const flood = () => {
    if (client.socket.writableLength === 0) client.socket.write(updatesOf(client, 2_000));
    return client.isClosed;
  };
  await waitUntil(flood, 'the gateway to give the client up');
  const { status } = await exchange(
    { port: sluice.httpsPort, tls: { servername: 'site.test' } },
    get('/', 'site.test'),
  );
  assert.equal(status, 200);
});

test('who takes the answers may have as many', async () => {
  const client = await RecordClient.open(sluice.httpsPort, 'site.test');
  for (let round = 1; round <= 6; round++) {
    client.socket.write(updatesOf(client, 2_000));
    await waitUntil(() => client.receivedBytes >= round * 2_000 * 27 || client.isClosed, 'the answers');
  }
  client.socket.write(client.data(get('/', 'site.test')));
  await recorder.request();
  assert.equal(client.isClosed, false);
  client.socket.destroy();
});
