import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startAttacked } from '../kit/attacked.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { OldRecordClient, RecordClient } from '../kit/recordclient.ts';
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
  Buffer.concat(Array.from({ length: count }, () => client.records.keyUpdate()));

const isServed = async () => {
  const tls = { servername: 'site.test' };
  return (await exchange({ port: sluice.httpsPort, tls }, get('/', 'site.test'))).status === 200;
};

test('who has TLS answer without end and takes no answer is given up', async () => {
  const client = await OldRecordClient.open(sluice.httpsPort, 'site.test');
  client.socket.pause();
  // Until then OpenSSL kept an alert for each, and the worker knew of none.
  const flood = () => {
    if (client.socket.writableLength > 0) return client.isClosed;
    client.socket.write(Buffer.concat(Array.from({ length: 10_000 }, () => client.hello())));
    return client.isClosed;
  };
  await waitUntil(flood, 'the gateway to give the client up');
  assert.ok(await isServed());
});

test('who has keys made without end is given up, for nobody else is served meanwhile', async () => {
  const client = await RecordClient.open(sluice.httpsPort, 'site.test');
  client.socket.write(updatesOf(client, 2_000));
  await waitUntil(() => client.isClosed || client.receivedBytes >= 2_000 * 27, 'the end, or all the answers');
  assert.ok(client.isClosed);
  assert.ok(await isServed());
});

test('who changes keys now and then is served', async () => {
  const client = await RecordClient.open(sluice.httpsPort, 'site.test');
  client.socket.write(updatesOf(client, 40));
  await waitUntil(() => client.receivedBytes >= 40 * 27, 'the answers');
  recorder.take();
  client.socket.write(client.records.data(get('/', 'site.test')));
  await recorder.request();
  client.socket.destroy();
});
