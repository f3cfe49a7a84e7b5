import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { ask, openPeer } from '../kit/h2peer.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let backend: Http2Server;
let sluice: Standalone;
let slow: ServerHttp2Stream | undefined;

before(async () => {
  backend = createServer({ settings: { maxHeaderListSize: 8_192 }, maxSendHeaderBlockLength: 1_000_000 });
  backend.on('stream', (stream: ServerHttp2Stream, fields) => {
    stream.on('error', () => undefined);
    // So does it with trailers.
    stream.on('trailers', (trailers) => {
      if (trailers['x-short'] === undefined) stream.session?.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else stream.respond({ ':status': 204 }, { endStream: true });
    });
    stream.resume();
    if (fields[':path'] === '/upload') return;
    if (fields[':path'] === '/long') {
      stream.respond(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`x-long${i}`, `${i}`.repeat(12_000)])));
      stream.end();
      return;
    }
    if (fields[':path'] === '/often') {
      stream.respond({ 'x-often': Array.from({ length: 300 }, () => 'x'.repeat(2_000)) });
      stream.end();
      return;
    }
    // As Netty does, with heads of more than 10 KB (Http2CodecUtil.headerListSizeError).
    if (fields['x-long'] !== undefined) stream.session?.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    else if (fields[':path'] === '/slow') {
      slow = stream;
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.write('begin');
    } else {
      // A length that its body does not have (RFC 9113 §8.1.1).
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.end('short');
    }
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'h2' }, annotations: { 'backend-protocol': 'GRPC' } }),
      ...service('h2', [(backend.address() as AddressInfo).port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  backend?.close();
});

/** An answer that has begun, and how it goes on when something else was done beside it. */
async function beside(others: () => Promise<void>): Promise<string> {
  const patient = await RawClient.open({ port: sluice.httpPort });
  patient.send(get('/slow', 'gw.test'));
  await waitUntil(() => patient.received.includes('begin'), 'the slow answer to begin');
  await others();
  slow?.end('ended');
  const { body } = await patient.response();
  patient.destroy();
  return body.toString();
}

test('answers that break a rule, however many are asked for, end no other on their connection', async () => {
  const body = await beside(async () => {
    for (let count = 0; count < 100; count++) {
      assert.equal((await exchange({ port: sluice.httpPort }, get('/lie', 'gw.test'))).status, 502);
    }
  });
  assert.equal(body, 'beginended');
});

test('a head that is larger than the backend said it takes is not sent to it', async () => {
  const body = await beside(async () => {
    const fields = ['1', '2'].map((name) => `X-Long${name === '1' ? '' : name}: ${'x'.repeat(6_000)}`);
    for (const request of [
      get('/', 'gw.test', fields),
      `POST / HTTP/1.1\r\nHost: gw.test\r\n${fields.join('\r\n')}\r\nContent-Length: 4\r\n\r\nbody`,
    ]) {
      assert.equal((await exchange({ port: sluice.httpPort }, request)).status, 431);
    }
    // Somewhat less is.
    assert.equal(
      (await exchange({ port: sluice.httpPort }, get('/lie', 'gw.test', [`X-Y: ${'x'.repeat(7_000)}`]))).status,
      502,
    );
  });
  assert.equal(body, 'beginended');
});

test('nor are trailers that are', async () => {
  const client = await openPeer({ port: sluice.httpPort });
  const body = await beside(async () => {
    const trailers = { 'x-long': 'x'.repeat(6_000), 'x-long2': 'x'.repeat(6_000) };
    assert.equal((await ask(client, { ':path': '/upload' }, 'body', trailers)).status, 431);
    assert.equal((await ask(client, { ':path': '/upload' }, 'body', { 'x-short': 'x'.repeat(6_000) })).status, 204);
  });
  client.destroy();
  assert.equal(body, 'beginended');
});

for (const path of ['/long', '/often']) {
  test(`an answer whose head is far too large, as it comes or as it is read, is the only one that fails: ${path}`, async () => {
    const body = await beside(async () => {
      assert.equal((await exchange({ port: sluice.httpPort }, get(path, 'gw.test'))).status, 502);
    });
    assert.equal(body, 'beginended');
  });
}
