import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { after, before, test } from 'node:test';
import { Collector } from '../kit/collector.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Backend, h2Answer } from '../kit/h2backend.ts';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { exchange } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parentId = 'b7ad6b7169203331';
const sampled = `00-${traceId}-${parentId}-01`;

/** As a row has it. */
const tracing = {
  ...{ serviceName: 'edge', isOn: true, continues: true, ratio: 1, sampledBy: 'trusted-proxies' as const },
  ...{ queue: 1, batch: 1, delayMs: 1 },
};

let collector: Collector;
let recorder: Recorder;
let gateway: Standalone;

function manifests(config: Readonly<Record<string, string>>): Manifest[] {
  return [
    ingressClass(),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'sluice' },
      data: config,
    } as Manifest,
    ingress({ name: 'web', host: 'web.test', paths: { '/': 'web', '/api': 'web', '/café/日本': 'web' } }),
    ingress({
      name: 'mute',
      host: 'mute.test',
      paths: { '/': 'web' },
      annotations: { 'enable-opentelemetry': 'false' },
    }),
    ingress({
      name: 'loud',
      host: 'loud.test',
      paths: { '/': 'web' },
      annotations: { 'enable-opentelemetry': 'true' },
    }),
    ingress({
      name: 'fresh',
      host: 'fresh.test',
      paths: { '/': 'web' },
      annotations: { 'opentelemetry-trust-incoming-span': 'false' },
    }),
    ingress({ name: 'idle', host: 'idle.test', paths: { '/': 'idle' } }),
    ...service('web', [recorder.port]),
    ...service('idle', []),
  ];
}

const on = () => ({
  'enable-opentelemetry': 'true',
  'otlp-collector-host': '127.0.0.1',
  'otlp-collector-port': String(collector.port),
  'otel-service-name': 'edge',
  'otel-schedule-delay-millis': '1',
});

before(async () => {
  collector = await Collector.start();
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const args = ['--configmap', 'sluice/settings', '--access-log', 'stdout'];
  gateway = await Standalone.start({ manifests: manifests({}), args });
});

after(async () => {
  await gateway?.discard();
  await recorder?.stop();
  await collector?.stop();
});

/** Sends a request; returns the trace context that the backend got. */
async function ask(host: string, path: string, fields: readonly string[] = []) {
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...fields];
  const { status } = await exchange({ port: gateway.httpPort }, `${lines.join('\r\n')}\r\n\r\n`);
  const got = recorder.requests.at(-1);
  const field = (name: string) =>
    got?.fields.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value) ?? [];
  return { status, traceparent: field('traceparent'), tracestate: field('tracestate') };
}

test('where nothing is traced, trace context passes through as it is, malformed or not', async () => {
  const seen = await ask('web.test', '/off', [`traceparent: ${sampled}`, 'tracestate: a=1,b=2', 'tracestate: c=3']);
  assert.deepEqual(seen, { status: 200, traceparent: [sampled], tracestate: ['a=1,b=2', 'c=3'] });
  assert.deepEqual((await ask('web.test', '/off', ['traceparent: nonsense'])).traceparent, ['nonsense']);
  assert.deepEqual((await ask('web.test', '/off')).traceparent, []);
  assert.equal(collector.posts, 0);
  assert.ok(!gateway.process.stdout.includes('trace_id'));
});

test('a span has the names of the conventions, and goes on with the trace of the client', async () => {
  await gateway.apply(manifests(on()));
  const seen = await ask('web.test', '/api/x?secret=1', [
    `traceparent: ${sampled}`,
    'tracestate: a=1',
    'User-Agent: test/1',
  ]);
  const span = await collector.spanOf('/api/x');
  assert.equal(span.traceId, traceId);
  assert.equal(span.parentSpanId, parentId);
  assert.deepEqual(seen.traceparent, [`00-${traceId}-${span.spanId}-01`]);
  assert.deepEqual(seen.tracestate, ['a=1']);
  assert.equal(span.name, 'GET /api');
  assert.equal(span.resource['service.name'], 'edge');
  const { 'sluice.request_id': requestId, ...attributes } = span.attributes;
  assert.match(String(requestId), /^\S+$/);
  assert.deepEqual(attributes, {
    'http.request.method': 'GET',
    'url.scheme': 'http',
    'url.path': '/api/x',
    'server.address': 'web.test',
    'network.protocol.name': 'http',
    'network.protocol.version': '1.1',
    'http.response.status_code': 200,
    'http.route': '/api',
    'client.address': '127.0.0.1',
    'user_agent.original': 'test/1',
    'sluice.route': 'ingress/default/web/0/1',
    'sluice.backend': 'default/web/80',
    'sluice.upstream.address': `127.0.0.1:${recorder.port}`,
    'sluice.upstream.tries': 1,
  });
  assert.deepEqual(span.status, {});
  await eventually(
    async () => gateway.process.stdout.includes(`"trace_id":"${traceId}"`) || undefined,
    'the access log',
  );
  assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
  assert.ok(Math.abs(Number(BigInt(span.startTimeUnixNano) / 1_000_000n) - Date.now()) < 600_000);
});

test('the path of a rule stands in a span as it was written', async () => {
  const path = encodeURI('/café/日本/x');
  await ask('web.test', path, [`traceparent: ${sampled}`, `User-Agent: ${Buffer.from('ü').toString('latin1')}`]);
  const { name, attributes } = await collector.spanOf(path);
  assert.equal(name, 'GET /café/日本');
  assert.equal(attributes['http.route'], '/café/日本');
  assert.equal(attributes['user_agent.original'], 'ü');
});

test('a trace begins here where the client names none, or none that can be read', async () => {
  for (const [path, fields] of [
    ['/none', []],
    ['/malformed', ['traceparent: 00-zz-1-01', 'tracestate: a=1']],
    ['/zeroes', [`traceparent: 00-${'0'.repeat(32)}-${parentId}-01`]],
    ['/twice', [`traceparent: ${sampled}`, `traceparent: ${sampled}`]],
    ['/version', [`traceparent: ff-${traceId}-${parentId}-01`]],
  ] as const) {
    const seen = await ask('web.test', path, fields);
    const span = await collector.spanOf(path);
    assert.notEqual(span.traceId, traceId);
    assert.equal(span.parentSpanId, undefined);
    assert.deepEqual(seen, { status: 200, traceparent: [`00-${span.traceId}-${span.spanId}-01`], tracestate: [] });
  }
  await ask('fresh.test', '/fresh', [`traceparent: ${sampled}`]);
  assert.notEqual((await collector.spanOf('/fresh')).traceId, traceId);
});

test('failures say why; a request without a route has a span, too', async () => {
  assert.equal((await ask('idle.test', '/idle')).status, 503);
  const idle = await collector.spanOf('/idle');
  assert.deepEqual(
    [idle.status.code, idle.attributes['error.type'], idle.attributes['sluice.response_flag']],
    [2, 'NE', 'NE'],
  );
  assert.equal((await ask('nobody.test', '/nobody')).status, 404);
  const nobody = await collector.spanOf('/nobody');
  assert.deepEqual([nobody.status.code, nobody.name, nobody.attributes['error.type']], [undefined, 'GET', undefined]);
});

test('an Ingress decides for itself', async () => {
  const seen = await ask('mute.test', '/mute', [`traceparent: ${sampled}`]);
  assert.deepEqual(seen.traceparent, [sampled]);
  await gateway.apply(manifests({ ...on(), 'enable-opentelemetry': 'false' }));
  await ask('web.test', '/quiet');
  await ask('loud.test', '/loud');
  await collector.spanOf('/loud');
  assert.ok(!collector.spans.some(({ attributes }) => ['/mute', '/quiet'].includes(String(attributes['url.path']))));
});

test("a client's word that its trace is sampled forces nothing, unless the operator says so", async () => {
  await gateway.apply(manifests({ ...on(), 'otel-sampler': 'AlwaysOff' }));
  const { traceparent } = await ask('web.test', '/forced', [`traceparent: ${sampled}`]);
  assert.match(traceparent[0] ?? '', new RegExp(`^00-${traceId}-(?!${parentId})[0-9a-f]{16}-00$`));
  await gateway.apply(manifests({ ...on(), 'otel-sampler': 'AlwaysOff', 'otel-sampler-parent-based': 'true' }));
  await ask('web.test', '/believed', [`traceparent: ${sampled}`]);
  await collector.spanOf('/believed');
  await gateway.apply(manifests({ ...on(), 'otel-sampler': 'AlwaysOff', 'use-forwarded-headers': 'true' }));
  await ask('web.test', '/trusted', [`traceparent: ${sampled}`]);
  await collector.spanOf('/trusted');
  assert.ok(!collector.spans.some(({ attributes }) => attributes['url.path'] === '/forced'));
});

test('the same over HTTP/2, from its client and to its backend', async () => {
  const backend = await H2Backend.start({
    onEnd: ({ stream, headers }) => h2Answer(stream, String(headers['traceparent'])),
  });
  const endpoints = [{ address: '127.0.0.1', port: backend.port }];
  const h2c = plainTable(endpoints).map((each) => {
    if (each.kind === 'listener') return row('listener', { id: 'http', tracing: { ...tracing, endpoint: '' } });
    return each.kind === 'backend' ? row('backend', { id: 'b', protocol: 'h2c' }) : each;
  });
  const other = await testGateway(h2c);
  const session = connect(`http://127.0.0.1:${gateway.httpPort}`);
  try {
    const request = `GET / HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\ntraceparent: ${sampled}\r\n\r\n`;
    const { body } = await exchange({ port: other.port }, request);
    assert.match(body.toString(), new RegExp(`^00-${traceId}-(?!${parentId})[0-9a-f]{16}-01$`));
    await gateway.apply(manifests(on()));
    const stream = session.request({ ':path': '/h2', ':authority': 'web.test', traceparent: sampled });
    await once(stream.resume(), 'end');
    const span = await collector.spanOf('/h2');
    assert.deepEqual([span.parentSpanId, span.attributes['network.protocol.version']], [parentId, '2']);
  } finally {
    session.close();
    await other.stop();
    await backend.stop();
  }
});

test('a ratio is drawn by the id of the trace: the same here and everywhere', async () => {
  const ratio = { 'otel-sampler': 'TraceIdRatioBased', 'otel-sampler-ratio': '0.5' };
  await gateway.apply(manifests({ ...on(), ...ratio }));
  const flagOf = async (id: string) =>
    (await ask('web.test', '/drawn', [`traceparent: 00-${id}-${parentId}-00`])).traceparent[0]?.slice(-2);
  assert.equal(await flagOf(`${'a'.repeat(20)}7fffffffffff`), '01');
  assert.equal(await flagOf(`${'a'.repeat(20)}800000000000`), '00');
});

test('a collector that is away, or refuses, costs no request; what it does not get is counted', async () => {
  const figure = async (name: string) =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await gateway.admin('/metrics'))?.[1]);
  assert.ok((await figure('sluice_spans_exported_total')) >= 8);
  const before = await figure('sluice_spans_dropped_total');
  collector.status = 503;
  await gateway.apply(manifests(on()));
  assert.equal((await ask('web.test', '/refused')).status, 200);
  await eventually(
    async () => (await figure('sluice_spans_dropped_total')) > before || undefined,
    'a span to be dropped',
  );
  await eventually(async () => gateway.process.stderr.includes('the collector takes no spans') || undefined, 'the log');
  collector.status = 200;
  const [exported, lost] = [await figure('sluice_spans_exported_total'), await figure('sluice_spans_dropped_total')];
  collector.answer = '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too many labels"}}';
  assert.equal((await ask('web.test', '/rejected')).status, 200);
  await eventually(
    async () => (await figure('sluice_spans_dropped_total')) === lost + 1 || undefined,
    'the span to be rejected',
  );
  assert.equal(await figure('sluice_spans_exported_total'), exported);
  collector.answer = '{}';
  await gateway.apply(manifests({ ...on(), 'otlp-collector-port': '9' }));
  const refused = await figure('sluice_spans_dropped_total');
  for (let i = 0; i < 5; i++) assert.equal((await ask('web.test', `/away/${i}`)).status, 200);
  await eventually(
    async () => (await figure('sluice_spans_dropped_total')) >= refused + 5 || undefined,
    'spans to be dropped',
  );
  await gateway.apply(manifests({ ...on(), 'otel-max-queuesize': '3', 'otel-schedule-delay-millis': '60000' }));
  const held = await figure('sluice_spans_dropped_total');
  for (let i = 0; i < 5; i++) assert.equal((await ask('web.test', `/held/${i}`)).status, 200);
  assert.equal(await figure('sluice_spans_dropped_total'), held + 2, 'the queue is bounded');
  assert.deepEqual(collector.faults, []);
});

test('spans that are left go out with the worker', async () => {
  await gateway.stop();
  await collector.spanOf('/held/0');
});
