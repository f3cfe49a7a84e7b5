import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { Standalone } from '../kit/sluice.ts';
import { within } from '../kit/wait.ts';

// nghttp2, of which node:http2 is made, sends nothing of a body while its window is shut: not even that it was all.

/** What a window has before anybody opens it, and some beside. */
const lengths = [65_534, 65_535, 65_536, 131_070];

let backend: Http2Server;
let sluice: Standalone;
let client: ClientHttp2Session;

before(async () => {
  backend = createServer();
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'h2' }, annotations: { 'backend-protocol': 'GRPC' } }),
      ...service('h2', [(backend.address() as AddressInfo).port]),
    ],
  });
  client = connect(`http://127.0.0.1:${sluice.httpPort}`, { settings: { initialWindowSize: 1 << 20 } });
});

after(async () => {
  client?.destroy();
  await sluice?.stop();
  backend?.close();
});

async function asked(): Promise<[Http2ServerRequest, Http2ServerResponse]> {
  return (await within(once(backend, 'request'), 'the request')) as [Http2ServerRequest, Http2ServerResponse];
}

async function reads(body: Readable, length: number): Promise<void> {
  const all = new Promise<void>((resolve) => {
    let bytes = 0;
    body.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes === length) resolve();
    });
  });
  await within(all, `${length} bytes`);
}

for (const length of lengths) {
  test(`an answer ends whose backend says so behind ${length} bytes`, async () => {
    const arrival = asked();
    const request = client.request({ ':authority': 'gw.test' });
    const [, response] = await arrival;
    response.writeHead(200, { 'content-length': length });
    response.write(Buffer.alloc(length, 'x'));
    await reads(request, length);
    const ended = once(request, 'end');
    response.end();
    await within(ended, 'the end of the answer');
  });

  test(`an upload ends whose client says so behind ${length} bytes`, async () => {
    const arrival = asked();
    const request = client.request({ ':authority': 'gw.test', ':method': 'POST', 'content-length': length });
    request.write(Buffer.alloc(length, 'x'));
    const [received, response] = await arrival;
    await reads(received, length);
    const ended = once(received, 'end');
    request.end();
    await within(ended, 'the end of the upload');
    response.end();
    request.resume();
    assert.equal((await within(once(request, 'response'), 'the answer'))[0][':status'], 200);
  });
}
