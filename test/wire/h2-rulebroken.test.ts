import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { get, RawClient } from '../kit/rawclient.ts';
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
