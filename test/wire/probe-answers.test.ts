import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Probe } from '#table/resilience.ts';
import { askOnce } from '../../proxy/probe/ask.ts';
import { plainEndpoint } from '../kit/rows.ts';

const probe: Probe = { type: 'http', method: 'GET', path: '/', host: null, expectedStatuses: [[200, 299]] };

/** What a probe makes of an endpoint that answers with these bytes, and ends the connection where it is told to. */
async function judged(context: TestContext, pieces: readonly string[], end?: 'FIN'): Promise<string | null> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      for (const piece of pieces) socket.write(piece);
      if (end === 'FIN') socket.end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const endpoint = { ...plainEndpoint, uid: 'pod', address: '127.0.0.1', port };
  const peer = { endpoint, isHttp2: false, isAlsoClear: false, tls: null };
  return await askOnce(peer, probe, AbortSignal.timeout(20_000));
}

const well = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

for (const interim of ['100 Continue', '102 Processing', '103 Early Hints', '199 Whatever']) {
  test(`${interim} before its answer, which nobody has asked for, speaks against no endpoint (RFC 9110 §15.2)`, async (t) => {
    assert.equal(await judged(t, [`HTTP/1.1 ${interim}\r\n\r\n`, well]), null);
    assert.equal(await judged(t, [`HTTP/1.1 ${interim}\r\n\r\n`.repeat(2) + well]), null);
    assert.equal(await judged(t, [`HTTP/1.1 ${interim}\r\n\r\n`, 'HTTP/1.1 503 No\r\n\r\n'], 'FIN'), 'status 503');
  });
}

test('the status decides, whatever becomes of the body', async (t) => {
  assert.equal(await judged(t, ['HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok'], 'FIN'), null);
  assert.equal(await judged(t, ['HTTP/1.0 200 OK\r\n\r\nok'], 'FIN'), null);
  assert.equal(await judged(t, ['HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n', 'x'.repeat(1_999_999)]), null);
});

test('what is no HTTP, or nothing, is told in words', async (t) => {
  assert.match(String(await judged(t, ['hello\r\n\r\n'])), /Expected HTTP/);
  assert.equal(await judged(t, [], 'FIN'), 'ECONNRESET');
});
