import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorCodes } from '../../proxy/frame/codes.ts';
import { grpcLines, grpcTimeoutMs } from '../../proxy/listen/grpc.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { adminPage, testFleet } from '../kit/fleet.ts';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { plainTable, row, snapshot } from '../kit/rows.ts';
import { readScrape } from '../kit/scrape.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

for (const [value, expected] of [
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['250m', 250],
  ['5000u', 5],
  ['1n', 1],
  ['99999999H', 99_999_999 * 3_600_000],
  ['', -1],
  ['1', -1],
  ['1s', -1],
  ['-1S', -1],
  ['123456789S', -1],
  ['1S ', -1],
] as const) {
  test(`grpc-timeout "${value}" is ${expected} ms`, () => assert.equal(grpcTimeoutMs(value), expected));
}

for (const [status, flag, code] of [
  [503, 'UO', 14],
  [502, 'UF', 14],
  [504, 'UCT', 14],
  [504, 'UT', 4],
  [404, 'NR', 12],
  [413, 'RL', 8],
  [418, '-', 2],
] as const) {
  test(`${status} with the flag ${flag} is gRPC's ${code}`, () => {
    assert.match(grpcLines(status, flag, 'x'), new RegExp(`^grpc-status: ${code}\\r\\n`));
  });
}

test('a message is percent-encoded, so that it ends no line', () => {
  assert.match(grpcLines(500, '-', 'a b%\r\nx: y\u00e9'), /grpc-message: a b%25%0D%0Ax: y%C3%A9\r\n$/);
});

test('a message with half a surrogate pair, as manifests of files may bring, is one with a replacement in its place', () => {
  assert.match(grpcLines(503, 'BR', 'no port x\ud800y'), /grpc-message: no port x%EF%BF%BDy\r\n$/);
});

async function call(fields: readonly string[]): Promise<{ status: number; fields: Map<string, string> }> {
  const recorder = await Recorder.start({ onRequest: () => undefined });
  opened.push(recorder);
  return callThrough(plainTable([{ address: '127.0.0.1', port: recorder.port }]), fields);
}

async function callThrough(
  rows: readonly Row[],
  fields: readonly string[],
): Promise<{ status: number; fields: Map<string, string> }> {
  const gateway = await testGateway(rows);
  const client = await RawClient.open({ port: gateway.port });
  opened.push(gateway, { stop: async () => client.destroy() });
  client.send(
    ['POST /pkg.Service/Call HTTP/1.1', 'Host: gw.test', ...fields, 'Content-Length: 0', '', ''].join('\r\n'),
  );
  const response = await client.response(0);
  return {
    status: response.status,
    fields: new Map(response.fields.map(([name, value]) => [name.toLowerCase(), value])),
  };
}

test('a call whose time is over is answered DEADLINE_EXCEEDED', async () => {
  const { status, fields } = await call(['Content-Type: application/grpc+proto', 'grpc-timeout: 50m']);
  assert.equal(status, 200);
  assert.equal(fields.get('grpc-status'), '4');
  assert.equal(fields.get('content-type'), 'application/grpc');
});

test('a backend that ends a call when its time is over makes it DEADLINE_EXCEEDED, too', async () => {
  const end = new SessionEnd('server');
  end.onHeaders = (stream) => {
    // As Go and Java do, which are sooner than our look at the clock.
    const atMs = performance.now() + 10;
    while (performance.now() < atMs);
    end.session.reset(stream, errorCodes.cancel);
  };
  const backend = await SessionBackend.start(() => end);
  opened.push(backend);
  const rows = [
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ];
  const { status, fields } = await callThrough(rows, ['Content-Type: application/grpc', 'grpc-timeout: 10m']);
  assert.deepEqual([status, fields.get('grpc-status')], [200, '4']);
});

test('a call that comes to nothing is counted as what it is, and the log has the status that was sent', async () => {
  const source = { kind: 'Ingress', namespace: 'shop', name: 'cart' };
  const rows = plainTable([]).map((each) => (each.kind === 'route' ? row('route', { id: 'r', source }) : each));
  const fleet = await testFleet({ workers: 1, metricsCompat: 'ingress-nginx' });
  opened.push(fleet);
  await fleet.apply(snapshot(rows));
  const client = await RawClient.open({ port: fleet.ports().get('http') ?? 0 });
  for (const [nth, type] of ['application/grpc', 'text/plain', 'application/grpc'].entries()) {
    client.send(`POST /a.B/C HTTP/1.1\r\nHost: gw.test\r\nContent-Type: ${type}\r\nContent-Length: 0\r\n\r\n`);
    assert.equal((await client.response(nth)).status, type === 'text/plain' ? 503 : 200);
  }
  client.destroy();
  const { samples } = readScrape((await adminPage(fleet, '/metrics')).text);
  const counts = (metric: string, label: string) =>
    samples.flatMap((each) => (each.metric === metric && each.value > 0 ? [[each.labels[label], each.value]] : []));
  assert.deepEqual(counts('sluice_http_requests_total', 'code'), [['5xx', 3]]);
  assert.deepEqual(counts('sluice_route_requests_total', 'code'), [['5xx', 3]]);
  assert.deepEqual(counts('nginx_ingress_controller_requests', 'status'), [['503', 3]]);
});

test('gRPC-Web and others get an HTTP status', async () => {
  const { status, fields } = await call(['Content-Type: application/grpc-web+proto', 'grpc-timeout: 50m']);
  assert.equal(status, 504);
  assert.equal(fields.get('grpc-status'), undefined);
});
