import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('what a backend that goes away has not looked at goes elsewhere once, though nothing is left of the budget', async () => {
  let goings = 0;
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => {
      if (goings-- > 0) end.session.sender.goAway(Math.max(0, stream.id - 2), errorCodes.noError, '');
      else end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const gateway = await testGateway(
    [...plainTable([{ address: '127.0.0.1', port: backend.port }]), row('backend', { id: 'b', protocol: 'h2c' })],
    { retriesPerSecond: 0 },
  );
  opened.push(backend, gateway);
  const post = 'POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi';
  for (const count of [0, 1, 3]) {
    goings = count;
    await exchange({ port: gateway.port }, post, 'POST');
  }
  assert.deepEqual(
    gateway.records.map(({ status, tries, retryRefusal }) => `${status} ${tries} ${retryRefusal}`),
    ['200 1 ', '200 2 ', '503 2 budget'],
  );
});
