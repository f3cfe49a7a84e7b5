import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { H2Client } from '../kit/h2client.ts';
import { everythingTo } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port) });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

test('a name with an underscore, which CGI takes for one with a dash, reaches no backend', async () => {
  recorder.onRequest = (request) => answer(request, 'ok');
  recorder.take();
  const names = ['x_forwarded_for', 'x-forwarded_proto', 'ssl_client_verify', 'content_length', 'x_own'];
  const lines = names.map((name) => `${name}: 1`);
  assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'gw.test', lines))).status, 200);
  const client = await H2Client.open({ port: sluice.httpPort });
  try {
    client.greet();
    client.send(client.headers(1, [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test', ...lines]));
    assert.deepEqual((await client.answered(1)).statuses, [200]);
  } finally {
    client.destroy();
  }
  const seen = recorder.take().flatMap(({ fields }) => fields.map(([name]) => name));
  assert.equal(seen.filter((name) => name === 'Host').length, 2);
  assert.deepEqual(
    seen.filter((name) => name.includes('_')),
    [],
  );
});

test('a Connection field of a backend takes away neither what frames its answer nor what is its client’s', async () => {
  recorder.onRequest = (request) =>
    answerBytes(
      request,
      'HTTP/1.1 200 OK\r\nConnection: set-cookie, content-length, content-type, cache-control, x-hop\r\n' +
        'Set-Cookie: a=b\r\nContent-Type: text/plain\r\nCache-Control: private\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok',
    );
  const { fields, body } = await exchange({ port: sluice.httpPort }, get('/', 'gw.test'));
  assert.equal(body.toString(), 'ok');
  const names = fields.map(([name]) => name.toLowerCase()).filter((name) => name !== 'date');
  assert.deepEqual(names, ['set-cookie', 'content-type', 'cache-control', 'content-length']);
});

test('a trailer says nothing of the way to the gateway', async () => {
  recorder.onRequest = (request) => answer(request, 'ok');
  recorder.take();
  const head = 'POST / HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n';
  const trailers = 'X-Forwarded-User: root\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Sum: 1\r\n';
  const response = await exchange({ port: sluice.httpPort }, `${head}2\r\nhi\r\n0\r\n${trailers}\r\n`, 'POST');
  assert.equal(response.status, 200);
  assert.deepEqual((await recorder.request()).trailers, ['X-Sum: 1']);
});

test('a backend that switches to a protocol that it does not name has switched to none', async () => {
  for (const upgrade of ['', 'Upgrade: h2c\r\n']) {
    recorder.onRequest = (request) => {
      assert.equal(fieldValue(request, 'upgrade'), 'websocket');
      answerBytes(request, `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${upgrade}\r\n`);
    };
    const client = await RawClient.open({ port: sluice.httpPort });
    try {
      const fields = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
      client.send(get('/', 'gw.test', [...fields, 'Sec-WebSocket-Version: 13']));
      assert.equal((await client.response()).status, 502);
    } finally {
      client.destroy();
    }
  }
});
