import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, test } from 'node:test';
import { errorCodes, frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend, type H2Request, h2Answer } from '../kit/h2backend.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('who shares a connection with an answer that ends it is asked for again, unless it may have been acted on', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    ends.push(end);
    end.onHeaders = (stream) => {
      if (ends.length > 1) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
      else if (stream.id === 5) {
        // A promise, which nobody may make to us.
        const { output } = end.session;
        end.session.sender.frame(5, frameTypes.pushPromise, frameFlags.endHeaders, stream.id);
        output.length += Buffer.from([0, 0, 0, 2, 0x88]).copy(output.bytes, output.length);
      }
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  const post = 'POST /post HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi';
  const requests = [get('/innocent', 'gw.test'), post, get('/guilty', 'gw.test')];
  for (const [at, request] of requests.entries()) {
    const client = await RawClient.open({ port: gateway.port });
    opened.push({ stop: async () => client.destroy() });
    client.send(request);
    const count = () => ends[0]?.events.filter((each) => each.includes(' headers ')).length;
    await waitUntil(() => count() === at + 1, 'the request');
  }
  await waitUntil(() => gateway.records.length === 3, 'all answers');
  assert.deepEqual(
    gateway.records.map(({ target, status, flag, tries }) => `${target} ${status} ${flag} ${tries}`).sort(),
    ['/guilty 200 - 2', '/innocent 200 - 2', '/post 502 UPE 1'],
  );
});

test('a stream that the backend resets is told as reset, whatever the backend finds fault with; an answer that breaks a rule as that', async () => {
  const backend = await H2Backend.start();
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', retry: { attempts: 1, on: [], canRepeatUnsafe: false, withinMs: 0 } }),
  ]);
  opened.push(backend, gateway);
  const { NGHTTP2_PROTOCOL_ERROR, NGHTTP2_INTERNAL_ERROR } = constants;
  const ends: readonly [string, (request: H2Request) => void][] = [
    ['UC', ({ stream }) => stream.close(NGHTTP2_PROTOCOL_ERROR)],
    ['UC', ({ stream }) => stream.close(NGHTTP2_INTERNAL_ERROR)],
    ['UPE', ({ stream }) => h2Answer(stream, 'four', { 'content-length': 2 })],
  ];
  for (const [nth, [flag, end]] of ends.entries()) {
    backend.onEnd = end;
    await exchange({ port: gateway.port }, get('/', 'gw.test')).catch(() => undefined);
    await waitUntil(() => gateway.records.length > nth, 'the record');
    assert.equal(gateway.records[nth]?.flag, flag);
  }
});

test('a backend that says in the middle of its answer that it has not looked at the request is told as one that closed', async () => {
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => {
      end.session.respond(stream, 200, 'Content-Length: 9\r\n', false);
      if (stream.id === 1) end.session.reset(stream, errorCodes.refusedStream);
      else end.session.sender.goAway(1, errorCodes.noError, '');
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  for (const nth of [0, 1]) {
    await exchange({ port: gateway.port }, get('/', 'gw.test')).catch(() => undefined);
    await waitUntil(() => gateway.records.length > nth, 'the record');
    const { flag, tries } = gateway.records[nth] ?? {};
    assert.deepEqual([flag, tries], ['UC', 1]);
  }
});
