import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes, preface, settingIds } from '../../proxy/frame/codes.ts';
import { corpusCases } from '../kit/corpus.ts';
import { H2Client, outcomeOf } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { faultsOfStreamCase } from '../kit/verdict.ts';
import { waitUntil } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;
const clients: H2Client[] = [];

/** Short enough to wait for, long enough that a busy machine does not run into them by chance where it should not. */
const limits = {
  'settings-ms': 700,
  'head-ms': 1_500,
  'idle-ms': 1_500,
  'body-idle-ms': 700,
  'write-idle-ms': 1_500,
  'requests-per-connection': 300,
};

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
      ...service('recorder', [recorder.port]),
    ],
    args: Object.entries(limits).flatMap(([name, value]) => [`--limit-${name}`, String(value)]),
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

async function open(onRequest?: (request: RecordedRequest) => void): Promise<H2Client> {
  recorder.onRequest = onRequest ?? ((request) => answer(request, 'ok'));
  recorder.take();
  const client = await H2Client.open({ port: sluice.httpPort });
  clients.push(client);
  return client;
}

const get = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
const post = [':method: POST', ...get.slice(1)];
const wholeRequest = frameFlags.endHeaders | frameFlags.endStream;
const cancel = Buffer.of(0, 0, 0, errorCodes.cancel);

/** Ids of last streams in the GOAWAYs so far. */
function farewells(client: H2Client): number[] {
  return client.frames.filter(({ type }) => type === frameTypes.goaway).map(({ payload }) => payload.readUInt32BE(0));
}

test('20,000 requests that are taken back at once reach no backend', async () => {
  const client = await open();
  client.greet();
  // Encoded once: a client that takes seconds for its burst is one that says nothing, and sent away.
  const block = client.headers(1, get).subarray(9);
  const burst = Array.from({ length: 20_000 }, (_, i) =>
    Buffer.concat([
      frame(frameTypes.headers, wholeRequest, 2 * i + 1, block),
      frame(frameTypes.rstStream, 0, 2 * i + 1, cancel),
    ]),
  );
  client.send(...burst);
  await client.client.closed();
  // To a client that goes on sending, the end may come as a reset before its last words.
  assert.ok(client.failure === errorCodes.enhanceYourCalm || client.client.error !== null);
  const control = await open();
  control.greet();
  control.send(control.headers(1, get));
  assert.equal((await control.answered(1)).statuses.at(-1), 200);
  assert.equal(recorder.take().length, 1);
});

test('a cancelled request among others costs the others nothing', async () => {
  const client = await open();
  client.greet();
  client.send(client.headers(1, get), client.headers(3, get), frame(frameTypes.rstStream, 0, 1, cancel));
  assert.equal((await client.answered(3)).statuses.at(-1), 200);
  assert.equal(recorder.take().length, 1);
});

test('a connection that begins and says no more ends', async () => {
  const silent = await open();
  silent.client.send(preface);
  await silent.client.closed();
  assert.equal(silent.failure, errorCodes.settingsTimeout);
});

test('a connection without a request ends with GOAWAY, and so does one that rests after some', async () => {
  const unused = await open();
  const used = await open();
  unused.greet();
  used.greet();
  used.send(used.headers(1, get));
  await used.answered(1);
  for (const client of [unused, used]) {
    await client.client.closed();
    assert.equal(farewells(client)[0], 0x7fffffff);
    assert.equal(client.failure, null);
  }
});

test('a field block that does not end ends the connection', async () => {
  const client = await open();
  client.greet();
  const whole = client.headers(1, get);
  client.send(frame(frameTypes.headers, 0, 1, whole.subarray(9)));
  await client.client.closed();
  assert.equal(client.failure, errorCodes.enhanceYourCalm);
  assert.equal(recorder.take().length, 0);
});

test('fields that are many times too much when they are read end the connection, those that are a little only their request', async () => {
  const client = await open();
  client.greet();
  const block = client.headers(1, get).subarray(9);
  // Index 62 (RFC 7541 §2.3.3): 4,000 bytes of the table for each byte of a block.
  const entry = Buffer.concat([Buffer.from('\x40\x01a\x7f\xa1\x1e', 'latin1'), Buffer.alloc(4_000, 'x')]);
  const again = (times: number) => Buffer.concat([block, entry, Buffer.alloc(times, 0xbe)]);
  client.send(frame(frameTypes.headers, wholeRequest, 1, again(20)));
  assert.equal((await client.answered(1)).statuses.at(-1), 431);
  assert.equal(client.failure, null);
  client.send(frame(frameTypes.headers, wholeRequest, 3, again(1_000)));
  await client.client.closed();
  assert.equal(client.failure, errorCodes.enhanceYourCalm);
  assert.deepEqual(client.answer(3).statuses, []);
  assert.equal(recorder.take().length, 0);
});

test('an upload that stalls is answered with 408 and never completed', async () => {
  const client = await open();
  client.greet();
  client.send(client.headers(1, post, false), frame(frameTypes.data, 0, 1, 'part'));
  assert.equal((await client.answered(1)).statuses.at(-1), 408);
  const [seen] = recorder.take();
  assert.equal(seen?.isComplete, false);
  await waitUntil(() => seen?.connection.isEnded === true, 'the upload to be aborted upstream');
});

for (const each of corpusCases('client-h2').filter(({ slow }) => slow === true)) {
  test(`${each.id} ${each.note}`, async () => {
    // What the case calls a unit: one HEADERS; its window of nothing is in the SETTINGS of all.
    assert.equal(each.gen?.kind, 'window-stall');
    const client = await open((request) => answer(request, 'a'.repeat(500_000)));
    client.greet([settingIds.initialWindowSize, 0]);
    const ids = Array.from({ length: each.gen?.streams ?? 0 }, (_, i) => 2 * i + 1);
    client.send(...ids.map((id) => client.headers(id, get)));
    await client.answered(1);
    await waitUntil(() => ids.every((id) => client.answer(id).reset !== null), 'all streams to be reset');
    assert.ok(ids.every((id) => client.answer(id).body.length === 0));
    await waitUntil(() => recorder.requests.every(({ connection }) => connection.isEnded), 'the backends to be let go');
    const recorded = recorder.take();
    assert.deepEqual(faultsOfStreamCase(each, outcomeOf(client, 1), recorded), []);
    assert.ok(recorded.length > 0 && recorded.length <= ids.length, `${recorded.length} were forwarded`);
    const control = await open();
    control.greet();
    control.send(control.headers(1, get));
    assert.equal((await control.answered(1)).statuses.at(-1), 200);
  });
}

test('H2-080 does not arise: that extended CONNECT is on is in the first SETTINGS (RFC 8441 §3)', async () => {
  const client = await open();
  client.greet();
  await client.settled();
  const [{ type, payload } = { type: -1, payload: Buffer.alloc(0) }] = client.frames;
  assert.equal(type, frameTypes.settings);
  const settings = Array.from({ length: payload.length / 6 }, (_, i) => [
    payload.readUInt16BE(6 * i),
    payload.readUInt32BE(6 * i + 2),
  ]);
  assert.ok(settings.some(([id, value]) => id === settingIds.enableConnectProtocol && value === 1));
});

test('who asks and does not read is not read either, and loses its connection', async () => {
  const client = await open((request) => answer(request, '', 200, [`X-Long: ${'\xff'.repeat(6_000)}`]));
  client.client.socket.pause();
  client.greet();
  // More bytes of answers than the kernel keeps on both sides, a few at a time as streams are limited.
  const total = 8_000;
  let sent = 0;
  while (sent < total && !client.client.isClosed) {
    for (let i = 0; i < 20; i++) client.send(client.headers(2 * sent++ + 1, get));
    await waitUntil(() => {
      if (recorder.requests.length >= sent) return true;
      client.send(frame(frameTypes.windowUpdate, 0, 0, Buffer.of(0, 0, 0, 1)));
      return client.client.isClosed;
    }, 'the requests to be forwarded, or the connection to end');
  }
  const { length } = recorder.take();
  assert.ok(length > 0 && length < total, `${length} requests were forwarded`);
});

test('a connection is given up gently after so many requests', async () => {
  const client = await open();
  client.greet();
  const most = limits['requests-per-connection'];
  for (let i = 0; i < most; i++) {
    client.send(client.headers(2 * i + 1, get));
    if (i % 50 === 49) await client.answered(2 * i + 1);
  }
  const last = 2 * most + 1;
  // It crosses the first GOAWAY, and is served.
  client.send(client.headers(last, get));
  assert.equal((await client.answered(last)).statuses.at(-1), 200);
  assert.equal(farewells(client)[0], 0x7fffffff);
  const ping = client.frames.find(({ type, flags }) => type === frameTypes.ping && (flags & frameFlags.ack) === 0);
  client.send(frame(frameTypes.ping, frameFlags.ack, 0, ping?.payload));
  await client.client.closed();
  assert.equal(farewells(client)[1], last);
});

test('a gateway that ends lets requests finish, and says that no more are taken', async () => {
  const draining = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
      ...service('recorder', [recorder.port]),
    ],
  });
  const held: RecordedRequest[] = [];
  await open((request) => held.push(request));
  const client = await H2Client.open({ port: draining.httpPort });
  clients.push(client);
  client.greet();
  client.send(client.headers(1, get));
  await waitUntil(() => held.length === 1, 'the request to reach the backend');
  draining.process.signal('SIGTERM');
  await waitUntil(() => farewells(client).length === 1, 'GOAWAY');
  answer(held[0] as RecordedRequest, 'to the end');
  assert.equal((await client.answered(1)).body.toString(), 'to the end');
  await client.client.closed();
  assert.equal(client.failure, null);
  assert.equal((await draining.process.ended()).code, 0);
  await draining.discard();
});
