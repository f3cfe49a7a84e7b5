import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

let backend: Http2Server;
let sluice: Standalone;
let slow: ServerHttp2Stream | undefined;

before(async () => {
  backend = createServer();
  backend.on('stream', (stream: ServerHttp2Stream, fields) => {
    if (fields[':path'] === '/slow') {
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

test('answers that break a rule, however many are asked for, end no other on their connection', async () => {
  const patient = await RawClient.open({ port: sluice.httpPort });
  patient.send(get('/slow', 'gw.test'));
  await waitUntil(() => patient.received.includes('begin'), 'the slow answer to begin');
  for (let count = 0; count < 100; count++) {
    assert.equal((await exchange({ port: sluice.httpPort }, get('/lie', 'gw.test'))).status, 502);
  }
  slow?.end('ended');
  assert.equal((await patient.response()).body.toString(), 'beginended');
  patient.destroy();
});
