import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { errorCodes, frameTypes, settingIds } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, SessionEnd } from '../kit/h2pair.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const times = { connectMs: 5_000, sendMs: 5_000, readMs: 5_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };

test('a backend that has answered and takes no more of a whole request loses its stream in time', async () => {
  const end = new SessionEnd('server', { streamWindowBytes: 1_000 });
  end.isReading = false;
  end.onHeaders = (stream) => end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
  const backend = await SessionBackend.start(() => end);
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts: { ...times, sendMs: 100 } }),
  ]);
  const one = await RawClient.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: async () => one.destroy() });
  // The first brings the backend's SETTINGS.
  one.send(get('/', 'gw.test'));
  assert.equal((await one.response(0)).status, 200);
  one.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2000\r\n\r\n${'a'.repeat(2_000)}`);
  assert.equal((await one.response(1)).status, 200);
  await waitUntil(() => end.events.includes(`3 reset ${errorCodes.cancel}`), 'the stream to be reset');
});

test('a client that goes on with an upload that is answered is told to stop, after a while', async () => {
  const gateway = await testGateway(plainTable([]), { lingerMs: 50 });
  const client = await H2Client.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.client.destroy() });
  client.greet();
  const lines = [':method: POST', ':scheme: http', ':authority: gw.test', ':path: /'];
  client.send(client.headers(1, lines, false), frame(frameTypes.data, 0, 1, Buffer.alloc(1_000)));
  await waitUntil(() => client.answer(1).reset !== null, 'the stream to be reset');
  const { statuses, isEnded, reset } = client.answer(1);
  assert.deepEqual([statuses, isEnded, reset], [[503], true, errorCodes.noError]);
});

test('a client whose upload is answered before its first bytes are passed on has room to come to its end', async () => {
  const gateway = await testGateway(plainTable([]));
  const client = await H2Client.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.client.destroy() });
  client.greet();
  const lines = [':method: POST', ':scheme: http', ':authority: gw.test', ':path: /'];
  const whole = frame(frameTypes.data, 0, 1, Buffer.alloc(16_384));
  client.send(client.headers(1, lines, false), whole, whole, whole, frame(frameTypes.data, 0, 1, Buffer.alloc(16_383)));
  await client.answered(1);
  await client.settled();
  const updates = client.frames.filter(({ type, streamId }) => type === frameTypes.windowUpdate && streamId === 1);
  assert.ok(updates.reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0) >= 65_535);
  assert.equal(client.answer(1).reset, null);
});

test('an upload that rests is given up after a client had to be waited for to take its early answer, too', async () => {
  const recorder = await Recorder.start({
    onHead: ({ connection }) => connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345678'),
  });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: recorder.port }]), { bodyIdleMs: 1_000 });
  const client = await H2Client.open({ port: gateway.port });
  opened.push(recorder, gateway, { stop: async () => client.client.destroy() });
  client.greet([settingIds.initialWindowSize, 4]);
  const lines = [':method: POST', ':scheme: http', ':authority: gw.test', ':path: /'];
  client.send(client.headers(1, lines, false), frame(frameTypes.data, 0, 1, Buffer.alloc(1)));
  await waitUntil(() => client.answer(1).body.length === 4, 'the window to be full');
  client.send(frame(frameTypes.windowUpdate, 0, 1, Buffer.of(0, 0, 0, 100)));
  await waitUntil(() => client.answer(1).reset !== null, 'the stream to be reset');
  assert.equal(client.answer(1).body.toString(), '12345678');
  assert.deepEqual(
    gateway.records.map(({ flag }) => flag),
    ['DBT'],
  );
});

test('of interim answers over HTTP/2, too, there may be some and not as many as a backend likes', async () => {
  for (const [count, status] of [
    [32, 200],
    [33, 502],
  ] as const) {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => {
      for (let i = 0; i < count; i++) end.session.respond(stream, 103, '', false);
      end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    const backend = await SessionBackend.start(() => end);
    const gateway = await testGateway([
      ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
      row('backend', { id: 'b', protocol: 'h2c' }),
      row('route', { id: 'r', retry: { attempts: 1, on: [], canRepeatUnsafe: false, withinMs: 0 } }),
    ]);
    const one = await RawClient.open({ port: gateway.port });
    opened.push(backend, gateway, { stop: async () => one.destroy() });
    one.send(get('/', 'gw.test'));
    assert.equal((await one.response(0)).status, status);
  }
});

for (const [what, request, status, lines, body] of [
  ['a length', get('/', 'gw.test'), 200, 'Content-Length: 5\r\n', 'whole'],
  ['a length of 0', get('/', 'gw.test'), 200, 'Content-Length: 0\r\n', ''],
  ['HEAD', 'HEAD / HTTP/1.1\r\nHost: gw.test\r\n\r\n', 200, 'Content-Length: 5\r\n', ''],
  ['204', get('/', 'gw.test'), 204, '', ''],
  ['304', get('/', 'gw.test'), 304, '', ''],
] as const) {
  test(`an answer that is whole by ${what} is over for a client of HTTP/1.1, whatever becomes of its stream`, async () => {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => {
      const isFirst = stream.id === 1;
      // The next request may come only when the first answer is taken for whole; by then its stream fails.
      if (!isFirst) end.session.reset(end.streams.get(1) as typeof stream, errorCodes.internalError);
      end.session.respond(stream, isFirst ? status : 200, isFirst ? lines : 'Content-Length: 2\r\n', false);
      const text = Buffer.from(isFirst ? body : 'ok');
      if (text.length > 0) end.session.data(stream, text, 0, text.length, !isFirst);
    };
    const backend = await SessionBackend.start(() => end);
    const gateway = await testGateway([
      ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
      row('backend', { id: 'b', protocol: 'h2c' }),
    ]);
    const one = await RawClient.open({ port: gateway.port });
    opened.push(backend, gateway, { stop: async () => one.destroy() });
    one.send(request);
    one.send(get('/next', 'gw.test'));
    const methods = [request.split(' ')[0] as string];
    assert.deepEqual([(await one.response(0, methods)).body.toString()], [body]);
    assert.equal((await one.response(1, methods)).body.toString(), 'ok');
    assert.deepEqual(
      gateway.records.map(({ status, flag }) => [status, flag]),
      [
        [status, '-'],
        [200, '-'],
      ],
    );
    assert.equal(end.events.includes('1 finished'), false);
  });
}

test('such a stream is lost when its backend leaves it open for longer than it may be silent', async () => {
  const end = new SessionEnd('server');
  end.onHeaders = (stream) => end.session.respond(stream, 204, '', false);
  const backend = await SessionBackend.start(() => end);
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts: { ...times, readMs: 100 } }),
  ]);
  const one = await RawClient.open({ port: gateway.port });
  opened.push(backend, gateway, { stop: async () => one.destroy() });
  one.send(get('/', 'gw.test'));
  assert.equal((await one.response(0)).status, 204);
  await waitUntil(() => end.events.includes(`1 reset ${errorCodes.cancel}`), 'the stream to be reset');
  one.send(get('/', 'gw.test'));
  assert.equal((await one.response(1)).status, 204);
});

test('a client of HTTP/2 has the trailers that follow an answer which is whole by its length', async () => {
  const end = new SessionEnd('server');
  end.onHeaders = (stream) => {
    end.session.respond(stream, 200, 'Content-Length: 2\r\n', false);
    end.session.data(stream, Buffer.from('ok'), 0, 2, false);
    end.session.trailers(stream, 'X-Sum: 1\r\n');
  };
  const backend = await SessionBackend.start(() => end);
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  const client = await H2Client.open(gateway);
  opened.push(backend, gateway, { stop: async () => client.destroy() });
  client.greet();
  client.send(client.headers(1, [':method: GET', ':scheme: http', ':authority: gw.test', ':path: /']));
  const answer = await client.answered(1);
  assert.deepEqual([answer.body.toString(), answer.lines.at(-1)], ['ok', 'x-sum: 1']);
});

test('what a compressor has of an answer that is whole by its length goes to a client of HTTP/2, though no end follows', async () => {
  const end = new SessionEnd('server');
  end.onHeaders = (stream) => {
    end.session.respond(stream, 200, 'Content-Type: text/plain\r\nContent-Length: 5\r\n', false);
    end.session.data(stream, Buffer.from('whole'), 0, 5, false);
  };
  const backend = await SessionBackend.start(() => end);
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('listener', { id: 'http', compression: [{ name: 'gzip', level: 1, types: ['text/plain'], minBytes: 1 }] }),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  const client = await H2Client.open(gateway);
  opened.push(backend, gateway, { stop: async () => client.destroy() });
  client.greet();
  const lines = [':method: GET', ':scheme: http', ':authority: gw.test', ':path: /', 'accept-encoding: gzip'];
  client.send(client.headers(1, lines));
  assert.equal(gunzipSync((await client.answered(1)).body).toString(), 'whole');
});

test('a client of HTTP/2 that half-closes is not waited for as long as its backend takes', async () => {
  const silent = await SessionBackend.start(() => new SessionEnd('server'));
  const gateway = await testGateway(
    [...plainTable([{ address: '127.0.0.1', port: silent.port }]), row('backend', { id: 'b', protocol: 'h2c' })],
    { halfCloseMs: 100 },
  );
  const client = await H2Client.open(gateway);
  opened.push(silent, gateway, { stop: async () => client.destroy() });
  client.greet();
  client.send(client.headers(1, [':method: GET', ':scheme: http', ':authority: gw.test', ':path: /']));
  client.client.end();
  await waitUntil(() => gateway.records.length === 1, 'the request to be given up');
  await waitUntil(() => gateway.gateway.counts().connections === 0, 'the connection to be given up');
});
