import assert from 'node:assert/strict';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { test } from 'node:test';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { askOnce } from '../../proxy/probe/ask.ts';
import { type Peer, tlsOf } from '../../proxy/probe/peer.ts';
import type { Backend } from '../../proxy/table/backend.ts';
import type { Probe } from '../../proxy/table/resilience.ts';
import type { UpstreamTls } from '../../proxy/table/upstreamtls.ts';
import { certificateFor } from '../kit/certificate.ts';
import { H2Backend, h2Answer } from '../kit/h2backend.ts';
import { plainEndpoint, plainTls, row } from '../kit/rows.ts';

const grpc = (service: string): Probe => ({ type: 'grpc', service, host: null });

/** Messages stay bytes: what is on the wire is what the test is about. */
const bytes = { serialize: (message: Buffer) => message, deserialize: (message: Buffer) => message };
const healthService: ServiceDefinition = {
  Check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  },
};

const serving = 1;
const notServing = 2;

/** A gRPC server with the health service; knows two names besides ''. */
async function startServer(
  t: { after(callback: () => unknown): void },
  credentials: ServerCredentials,
  service: UntypedServiceImplementation = {
    Check(
      call: { request: Buffer; metadata: { get(name: string): unknown[] } },
      answer: (error: object | null, message?: Buffer) => void,
    ) {
      const name = call.request.subarray(2).toString();
      assert.equal(call.request.length === 0 ? 0 : call.request[1], name.length);
      const found = new Map([
        ['', serving],
        ['shop.v1.Cart', serving],
        ['shop.v1.Stock', notServing],
      ]).get(name);
      if (found === undefined) answer({ code: status.NOT_FOUND, details: 'unknown service' });
      else answer(null, Buffer.from([0x08, found]));
    },
  },
): Promise<number> {
  const server = new Server();
  server.addService(healthService, service);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  t.after(() => server.forceShutdown());
  return port;
}

function ask(port: number, probe: Probe, tls: Peer['tls'] = null, signal = AbortSignal.timeout(20_000)) {
  const endpoint = { ...plainEndpoint, address: '127.0.0.1', port, uid: 'pod' };
  return askOnce({ endpoint, tls, isHttp2: true, isAlsoClear: false }, probe, signal);
}

test('grpc.health.v1: what serves is well; what does not, or is not known, says why', async (t) => {
  const port = await startServer(t, ServerCredentials.createInsecure());
  assert.equal(await ask(port, grpc('')), null);
  assert.equal(await ask(port, grpc('shop.v1.Cart')), null);
  assert.equal(await ask(port, grpc('shop.v1.Stock')), 'NOT_SERVING');
  assert.equal(await ask(port, grpc('x'.repeat(120))), `grpc-status ${status.NOT_FOUND}`);
});

test('grpc.health.v1 over TLS, verified as the row wants it', async (t) => {
  const pair = await certificateFor(['pod.test']);
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(pair.key), cert_chain: Buffer.from(pair.cert) },
  ]);
  const port = await startServer(t, credentials);
  const spoken = (verify: UpstreamTls['verify'], bundle: string) => {
    const { row: backend } = row('backend', { id: 'b', protocol: 'h2', tls: { ...plainTls, verify } });
    return tlsOf(backend as Backend, { secret: () => bundle, certificate: () => undefined });
  };
  const named = (name: string) => ({ caSecretId: 'ca', names: [name], depth: 1 });
  assert.equal(await ask(port, grpc(''), spoken(null, '')), null);
  assert.equal(await ask(port, grpc(''), spoken(named('pod.test'), pair.cert)), null);
  assert.equal(await ask(port, grpc(''), spoken(named('other.test'), pair.cert)), 'ERR_TLS_CERT_ALTNAME_INVALID');
  assert.notEqual(await ask(port, grpc(''), spoken(named('pod.test'), '')), null);
});

test('a probe of type http asks a backend that speaks HTTP/2 over that, with method, path and statuses of the row', async (t) => {
  const backend = await H2Backend.start({
    onEnd: ({ stream, headers }) =>
      h2Answer(stream, 'x'.repeat(100_000), { ':status': headers[':path'] === '/up' ? 204 : 500 }),
  });
  t.after(() => backend.stop());
  const probe = (path: string): Probe => ({
    type: 'http',
    method: 'GET',
    path,
    host: 'up.test',
    expectedStatuses: [[200, 299]],
  });
  assert.equal(await ask(backend.port, probe('/up')), null);
  assert.equal(await ask(backend.port, probe('/down')), 'status 500');
  assert.deepEqual(
    backend.requests.map(({ headers }) => [headers[':method'], headers[':authority']]),
    [
      ['GET', 'up.test'],
      ['GET', 'up.test'],
    ],
  );
});

test('a server that takes the stream back, or goes away, is not waited for', async (t) => {
  for (const end of [
    (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_CANCEL),
    (stream: ServerHttp2Stream) => stream.session?.destroy(),
  ]) {
    const backend = await H2Backend.start({ onRequest: ({ stream }) => void end(stream) });
    t.after(() => backend.stop());
    const never = new AbortController().signal;
    assert.equal(await ask(backend.port, grpc(''), null, never), 'the stream ended without an answer');
  }
});

test('a server without the health service, one that never answers, and none at all are not well', async (t) => {
  const without = await startServer(t, ServerCredentials.createInsecure(), {});
  assert.equal(await ask(without, grpc('')), `grpc-status ${status.UNIMPLEMENTED}`);
  const silent = await startServer(t, ServerCredentials.createInsecure(), { Check() {} });
  assert.equal(await ask(silent, grpc(''), null, AbortSignal.timeout(200)), 'no answer in time');
  assert.equal(await ask(1, grpc('')), 'ECONNREFUSED');
});
