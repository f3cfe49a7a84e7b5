import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a connection to a backend that died without a word is left, though no request waits for as long as it may', async () => {
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    return end;
  });
  const timeouts = { connectMs: 1_000, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts }),
  ]);
  opened.push(backend, gateway);
  const status = async () => (await exchange({ port: gateway.port }, get('/', 'gw.test'))).status;
  assert.equal(await status(), 200);
  backend.dead = 1;
  gateway.apply([row('route', { id: 'r', timeouts: { ...timeouts, requestMs: 1_500 } })]);
  assert.equal(await status(), 504);
  gateway.apply([row('route', { id: 'r', timeouts: { ...timeouts, requestMs: 10_000 } })]);
  assert.equal(await status(), 200);
  assert.equal(backend.connections, 2);
});
