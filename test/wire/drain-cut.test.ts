import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, test } from 'node:test';
import { errorCodes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { waitingAt } from '../kit/procfs.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';
import { standUntil, waitUntil } from '../kit/wait.ts';

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

test('a download that is cut off is not whole to a client that knows its end by that of the connection', async () => {
  const recorder = await Recorder.start({
    onRequest: ({ connection }) =>
      connection.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n'),
  });
  const table = plainTable([{ address: '127.0.0.1', port: recorder.port }]);
  const ways = ['the grace is over', 'the answer of a half-closed client rests'];
  opened.push(recorder);
  for (const way of ways) {
    const gateway = await testGateway(table, { halfCloseMs: 50 });
    const client = await RawClient.open(gateway);
    opened.push(gateway, { stop: async () => client.destroy() });
    client.send('GET / HTTP/1.0\r\nHost: gw.test\r\n\r\n');
    await waitUntil(() => client.received.includes('begin'), 'the answer to begin');
    if (way === ways[0]) await gateway.stop();
    else client.end();
    await client.closed();
    assert.ok(!client.isEnded, `an end in order when ${way}`);
  }
});

test('nor is it over HTTP/2: its stream ends by a reset, and not by that of the connection alone', async () => {
  const recorder = await Recorder.start({
    onRequest: ({ connection }) =>
      connection.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n'),
  });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const streams = await H2Client.open(gateway);
  opened.push(recorder, { stop: async () => streams.destroy() });
  streams.greet();
  streams.send(streams.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
  await waitUntil(() => streams.answer(1).body.includes('begin'), 'the answer to begin');
  await gateway.stop();
  await waitUntil(() => streams.answer(1).reset !== null || streams.isOver, 'the end');
  assert.equal(streams.answer(1).reset, errorCodes.internalError);
  assert.deepEqual(
    gateway.records.map(({ flag }) => flag),
    ['GE'],
  );
});

test('a request that is on its way when the gateway begins to end is answered, over a connection that was idle', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { lingerMs: 500 });
  const [used, unused, streams] = [
    await RawClient.open(gateway),
    await RawClient.open(gateway),
    await H2Client.open(gateway),
  ];
  opened.push(recorder, ...[used, unused, streams].map((each) => ({ stop: async () => each.destroy() })));
  used.send(get('/', 'gw.test'));
  await used.response(0);
  const lines = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  streams.greet();
  streams.send(streams.headers(1, lines));
  await streams.answered(1);
  await waitUntil(() => gateway.gateway.counts().connections === 3, 'all connections to be accepted');
  for (const each of [used, unused]) each.send(get('/', 'gw.test'));
  streams.send(streams.headers(3, lines));
  // The gateway, which lives on the same loop, has read none of them.
  const drained = gateway.gateway.drain(5_000);
  assert.equal((await used.response(1)).status, 200);
  assert.equal((await unused.response(0)).status, 200);
  assert.equal((await streams.answered(3)).statuses.at(-1), 200);
  await drained;
});

test('so are those of clients who wait to be accepted', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  opened.push(recorder);
  const opening = Array.from({ length: 8 }, () => RawClient.open(gateway));
  // They ask for it in the tick that is next; the gateway, which lives on the same loop, sees none before a turn.
  await new Promise((resolve) => process.nextTick(resolve));
  standUntil(() => waitingAt(gateway.port) === opening.length, 'the kernel to connect them');
  assert.equal(gateway.gateway.counts().connections, 0);
  const drained = gateway.gateway.drain(5_000);
  for (const client of await Promise.all(opening)) {
    client.send(get('/', 'gw.test'));
    assert.equal((await client.response(0)).status, 200);
    client.destroy();
  }
  await drained;
});

test('so is one that comes behind an answer whose head has not told of the end', async () => {
  let begun: Socket | undefined;
  const recorder = await Recorder.start({
    onRequest(request) {
      if (request.target !== '/begun') return answer(request, 'ok');
      begun = request.connection.socket;
      begun.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin');
    },
  });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]));
  const client = await RawClient.open(gateway);
  opened.push(recorder, { stop: async () => client.destroy() });
  client.send(get('/begun', 'gw.test') + get('/next', 'gw.test'));
  await waitUntil(() => client.received.includes('begin'), 'the answer to begin');
  const drained = gateway.gateway.drain(3_600_000);
  begun?.write('done');
  assert.equal((await client.response(0)).body.toString(), 'begindone');
  const next = await client.response(1);
  assert.equal(next.status, 200);
  assert.ok(next.fields.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close'));
  await drained;
});

test('a connection that turns out to be of HTTP/2 when the gateway has begun to end, ends with its requests', async () => {
  const recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { lingerMs: 100 });
  const streams = await H2Client.open(gateway);
  opened.push(recorder, { stop: async () => streams.destroy() });
  await waitUntil(() => gateway.gateway.counts().connections === 1, 'the connection to be accepted');
  const drained = gateway.gateway.drain(3_600_000);
  streams.greet();
  streams.send(streams.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test']));
  assert.equal((await streams.answered(1)).statuses.at(-1), 200);
  await drained;
});
