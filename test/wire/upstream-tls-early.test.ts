import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { Authority } from '../kit/authority.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

test('an answer that a TLS backend gives early is heard, though it takes no more of the upload', async (context) => {
  const backend = await Recorder.start({
    tls: await (await Authority.root()).issue({ names: ['pod.test'] }),
    onHead: ({ connection: { socket } }) => {
      socket.pause();
      // What was not read has the kernel send a reset.
      socket.write('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno', () =>
        socket.destroy(),
      );
    },
  });
  context.after(() => backend.stop());
  const annotations = { 'backend-protocol': 'HTTPS', 'proxy-body-size': '0' };
  const sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'b', host: 'b.test', paths: { '/': 'b' }, annotations }),
      ...service('b', [backend.port]),
    ],
  });
  context.after(() => sluice.stop());
  const body = Buffer.alloc(3_000_000);
  const upload = async () => {
    const headers = { host: 'b.test', 'content-length': body.length };
    const put = request({ port: sluice.httpPort, method: 'PUT', headers }).end(body);
    const [answer] = (await once(put, 'response')) as [IncomingMessage];
    // Of what it still sends it may hear that nobody wants it.
    put.on('error', () => undefined);
    put.destroy();
    return answer.statusCode;
  };
  // A third to a half of them met with the reset before the answer was read.
  for (let i = 0; i < 12; i++) assert.deepEqual(await Promise.all([upload(), upload(), upload()]), [413, 413, 413]);
});
