import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { certificateFor } from '../kit/certificate.ts';
import { callGrpcGo, type GrpcGoCall, GrpcGoServer, skipWithoutGo } from '../kit/grpcgo.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { Standalone } from '../kit/sluice.ts';

const skip = skipWithoutGo();
let server: GrpcGoServer;
let sluice: Standalone;

before(async () => {
  if (skip) return;
  server = await GrpcGoServer.start();
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({
        name: 'echo',
        host: 'gw.test',
        paths: { '/': 'echo' },
        tlsSecret: 'cert',
        annotations: { 'backend-protocol': 'GRPC', 'ssl-redirect': 'false', 'proxy-body-size': '0' },
      }),
      tlsSecret('cert', await certificateFor(['gw.test'])),
      ...service('echo', [server.port]),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await server?.stop();
});

// The library measures the path with a PING for what it reads, on both sides of the gateway: no patience may end for that.
const calls: Record<string, Omit<GrpcGoCall, 'address'>> = {
  'small messages that go to and fro': { mode: 'talk', messages: 5_000, bytes: 10 },
  'large ones': { mode: 'talk', messages: 50, bytes: 1_000_000 },
  'small ones of the server': { mode: 'expand', messages: 1, bytes: 50_000 },
  'small ones of the client': { mode: 'collect', messages: 50_000, bytes: 10 },
  'none of the client': { mode: 'collect', messages: 0, bytes: 0 },
};
for (const [name, call] of Object.entries(calls)) {
  test(`${name}, in the clear and over TLS`, { skip }, async () => {
    assert.equal(await callGrpcGo({ ...call, address: `127.0.0.1:${sluice.httpPort}` }), 'ok');
    assert.equal(await callGrpcGo({ ...call, address: `tls:127.0.0.1:${sluice.httpsPort}` }), 'ok');
  });
}
