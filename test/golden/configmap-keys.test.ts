import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ConfigKeyName, configKeys } from '../../controller/configmap/registry.ts';
import { dashed } from '../../controller/ops/settings.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { Limits } from '../../proxy/listen/limits.ts';
import type { Row } from '../../proxy/table/rows.ts';
import { optionsOf, readObjects, viewOf } from './translating.ts';

/** A value of a key, what it makes of fields of rows (`kind id path`), and other keys without which it does nothing. */
type Effect = readonly [value: string, fields: Readonly<Record<string, unknown>>, beside?: Data];
type Data = Readonly<Record<string, string>>;

const onBoth = (path: string, value: unknown) => ({
  [`listener http ${path}`]: value,
  [`listener https ${path}`]: value,
});
const onRoute = (path: string, value: unknown) => ({ [`route ingress/demo/web/0/0 ${path}`]: value });
const onBackend = (path: string, value: unknown) => ({ [`backend demo/web/80 ${path}`]: value });
const onTls = (path: string, value: unknown) => ({ [`listener https tls.${path}`]: value });
const onHsts = (value: string | null) => ({ 'listener https hsts': value });
const gzip = { 'use-gzip': 'true' };
const brotli = { 'enable-brotli': 'true' };
const traced = { 'otlp-collector-host': 'collector' };

/** Every key, so that none can be forgotten on the way to the proxies. */
const effects: Readonly<Record<ConfigKeyName, Effect>> = {
  'ssl-redirect': ['false', onRoute('filters', [])],
  'force-ssl-redirect': ['true', { 'route ingress/demo/plain/0/0 filters.0.type': 'https-redirect' }],
  'http-redirect-code': ['301', onRoute('filters.0.status', 301)],
  'no-tls-redirect-locations': ['/a,/b', onRoute('filters.0.exceptPrefixes', ['/a', '/b'])],
  'no-auth-locations': ['/', { 'route ingress/demo/closed/0/0 backends.0.backendId': 'demo/web/80' }],
  hsts: ['true', onHsts('max-age=31536000; includeSubDomains')],
  'hsts-max-age': ['60', onHsts('max-age=60; includeSubDomains')],
  'hsts-include-subdomains': ['false', onHsts('max-age=31536000')],
  'hsts-preload': ['true', onHsts('max-age=31536000; includeSubDomains; preload')],
  'use-forwarded-headers': ['true', onBoth('trustedProxies', ['0.0.0.0/0', '::/0'])],
  'proxy-real-ip-cidr': [
    '10.0.0.0/8',
    {
      ...onBoth('trustedProxies', ['10.0.0.0/8']),
      ...onBoth('proxyProtocol.sources', ['10.0.0.0/8']),
      'listener tcp/5432 proxyProtocol.sources': ['10.0.0.0/8'],
    },
    { 'use-forwarded-headers': 'true', 'use-proxy-protocol': 'true' },
  ],
  'whitelist-source-range': ['10.0.0.0/8', onRoute('filters.1.sources.allow', ['10.0.0.0/8'])],
  'denylist-source-range': ['10.0.0.0/8', onRoute('filters.1.sources.deny', ['10.0.0.0/8'])],
  'proxy-body-size': ['1k', onRoute('bodyLimit', 1_024)],
  'load-balance': ['ewma', onBackend('balance.algorithm', 'ewma')],
  'service-upstream': ['true', { 'endpoints demo/web/80 endpoints.0.address': '10.96.0.1' }],
  'allow-cross-namespace-resources': [
    'true',
    { 'host ingress/far.example.com clientAuth.caSecretId': 'other/ca/ca.crt' },
  ],
  'proxy-connect-timeout': [
    '7',
    { ...onRoute('timeouts.connectMs', 7_000), 'l4route tcp/5432 timeouts.connectMs': 7_000 },
  ],
  'proxy-send-timeout': ['7', onRoute('timeouts.sendMs', 7_000)],
  'proxy-read-timeout': ['7', onRoute('timeouts.readMs', 7_000)],
  'request-timeout': ['7', onRoute('timeouts.requestMs', 7_000)],
  'per-try-timeout': ['7', onRoute('timeouts.tryMs', 7_000)],
  'websocket-idle-timeout': ['7', onRoute('timeouts.tunnelMs', 7_000)],
  'proxy-next-upstream': ['http_502', onRoute('retry.on', [502])],
  'proxy-next-upstream-timeout': ['7', onRoute('retry.withinMs', 7_000)],
  'proxy-next-upstream-tries': ['7', onRoute('retry.attempts', 7)],
  'retry-non-idempotent': ['true', onRoute('retry.canRepeatUnsafe', true)],
  'keep-alive': ['30', onBoth('clients.idleMs', 30_000)],
  'keep-alive-requests': ['7', onBoth('clients.requests', 7)],
  'client-header-timeout': ['7', onBoth('clients.headMs', 7_000)],
  'client-body-timeout': ['7', onBoth('clients.bodyIdleMs', 7_000)],
  'http2-max-concurrent-streams': ['7', onBoth('clients.streams', 7)],
  'use-http2': ['false', onBoth('http2', false)],
  'upstream-keepalive-connections': ['7', onBackend('keepAlive.connections', 7)],
  'upstream-keepalive-requests': ['7', onBackend('keepAlive.requests', 7)],
  'upstream-keepalive-timeout': ['7', onBackend('keepAlive.idleMs', 7_000)],
  'upstream-keepalive-time': ['7s', onBackend('keepAlive.lifetimeMs', 7_000)],
  'ssl-protocols': ['TLSv1.3', onTls('minVersion', 'TLSv1.3')],
  'ssl-ciphers': ['ECDHE-ECDSA-AES128-GCM-SHA256', onTls('ciphers', 'ECDHE-ECDSA-AES128-GCM-SHA256')],
  'ssl-ecdh-curve': ['X25519', onTls('groups', 'X25519')],
  'ssl-session-tickets': ['false', onTls('sessionSeconds', 0)],
  'ssl-session-timeout': ['1h30m', onTls('sessionSeconds', 5_400)],
  'use-gzip': ['true', onBoth('compression.0.name', 'gzip')],
  'gzip-level': ['7', onBoth('compression.0.level', 7), gzip],
  'gzip-min-length': ['7', onBoth('compression.0.minBytes', 7), gzip],
  'gzip-types': ['text/css', onBoth('compression.0.types', ['text/html', 'text/css']), gzip],
  'enable-brotli': ['true', onBoth('compression.0.name', 'br'), gzip],
  'brotli-level': ['7', onBoth('compression.0.level', 7), brotli],
  'brotli-min-length': ['7', onBoth('compression.0.minBytes', 7), brotli],
  'brotli-types': ['text/css', onBoth('compression.0.types', ['text/html', 'text/css']), brotli],
  'use-proxy-protocol': ['true', onBoth('proxyProtocol.timeoutMs', 5_000)],
  'proxy-protocol-header-timeout': ['7s', { 'listener tcp/5432 proxyProtocol.timeoutMs': 7_000 }],
  'proxy-stream-timeout': [
    '7m',
    { 'l4route tcp/5432 timeouts.idleMs': 420_000, 'l4route udp/53 timeouts.idleMs': 420_000 },
  ],
  'proxy-stream-next-upstream': ['false', { 'l4route tcp/5432 retry.attempts': 1 }],
  'proxy-stream-next-upstream-timeout': ['7s', { 'l4route tcp/5432 retry.withinMs': 7_000 }],
  'proxy-stream-next-upstream-tries': ['7', { 'l4route tcp/5432 retry.attempts': 7 }],
  'proxy-stream-responses': ['7', { 'l4route udp/53 responses': 7 }],
  'max-udp-flows': ['7', { 'l4route udp/53 clients.most': 7 }],
  'max-udp-flows-per-source': ['7', { 'l4route udp/53 clients.mostPerSource': 7 }],
  'otlp-collector-host': ['collector', onBoth('tracing.endpoint', 'http://collector:4318/v1/traces')],
  'otlp-collector-port': ['4319', onBoth('tracing.endpoint', 'http://collector:4319/v1/traces'), traced],
  'otel-service-name': ['edge', onBoth('tracing.serviceName', 'edge'), traced],
  'enable-opentelemetry': ['true', onBoth('tracing.isOn', true), traced],
  'opentelemetry-trust-incoming-span': ['false', onBoth('tracing.continues', false), traced],
  'otel-sampler': ['AlwaysOff', onBoth('tracing.ratio', 0), traced],
  'otel-sampler-ratio': ['0.5', onBoth('tracing.ratio', 0.5), { ...traced, 'otel-sampler': 'TraceIdRatioBased' }],
  'otel-sampler-parent-based': ['true', onBoth('tracing.sampledBy', 'everybody'), traced],
  'otel-max-queuesize': ['7', onBoth('tracing.queue', 7), traced],
  'otel-max-export-batch-size': ['7', onBoth('tracing.batch', 7), traced],
  'otel-schedule-delay-millis': ['7', onBoth('tracing.delayMs', 7), traced],
};

for (const [name, [value, fields, beside = {}]] of Object.entries(effects)) {
  test(`${name}: ${value}`, () => {
    const [before, after] = [rowsWith(beside), rowsWith({ ...beside, [name]: value })];
    for (const [field, expected] of Object.entries(fields)) {
      assert.notDeepEqual(fieldOf(before, field), expected, `${field} without the key`);
      assert.deepEqual(fieldOf(after, field), expected, field);
    }
  });
}

test('a key with the value that the reference page calls its default changes nothing', () => {
  const limits = Limits.parse({});
  const limitByFlag = new Map(Object.entries(limits).map(([key, value]) => [`--limit-${dashed(key)}`, value]));
  const names: string[] = [];
  for (const [name, [, , beside = {}]] of Object.entries(effects)) {
    const { default: standard, flag, parse } = configKeys[name as ConfigKeyName];
    const value = parse(standard);
    // Some defaults are told in words, and one in a word that Node has for its own choice.
    if (value === undefined || value === 'auto') continue;
    names.push(name);
    const limit = limitByFlag.get(flag ?? '');
    // Each of these alone turns it on.
    const others = name.startsWith('hsts-') ? { hsts: 'true' } : beside;
    if (limit === undefined) assert.deepEqual(rowsWith({ ...others, [name]: standard }), rowsWith(others), name);
    else assert.equal(value, limit, name);
  }
  assert.ok(names.length > 40, `${names}`);
});

test('a time of nginx has units or none, and one that no timer holds is refused', () => {
  const times = { '7': 7_000, '7ms': 7, '7s': 7_000, '7m': 420_000, '7h': 25_200_000, '1d': 86_400_000, '0': 0 };
  const sums = { '1h30m': 5_400_000, '1h 30m': 5_400_000, '1m5s': 65_000 };
  const refused = { '7w': 600_000, '25d': 600_000, '24d23h59m': 600_000, h: 600_000, '-1': 600_000, '': 600_000 };
  for (const [value, ms] of Object.entries({ ...times, ...sums, ...refused })) {
    assert.equal(fieldOf(rowsWith({ 'proxy-stream-timeout': value }), 'l4route tcp/5432 timeouts.idleMs'), ms, value);
  }
});

function rowsWith(data: Data): readonly Row[] {
  const options = optionsOf({ configMap: 'sluice/config', tcpServices: 'sluice/tcp', udpServices: 'sluice/udp' });
  const { objects, unreadable } = readObjects([
    configMap('config', data),
    configMap('tcp', { '5432': 'demo/web:80:PROXY' }),
    configMap('udp', { '53': 'demo/dns:53' }),
    ingress('web', {}, { tls: [{ hosts: ['web.example.com'] }] }),
    ingress('plain', {}),
    ingress('far', { 'auth-tls-secret': 'other/ca' }),
    ingress('closed', { 'auth-url': 'http://auth.example.com' }),
    service('web', 'TCP', 80),
    service('dns', 'UDP', 53),
    { kind: 'Secret', metadata: { name: 'ca', namespace: 'other' }, type: 'Opaque', data: { 'ca.crt': authority } },
  ]);
  return new Translator(options).apply(viewOf(objects), [], unreadable, Date.parse('2026-01-01T00:00:00Z')).upserts;
}

const authority = readFileSync(join(import.meta.dirname, 'translate/certificates/shop.crt')).toString('base64');

function configMap(name: string, data: Data): object {
  return { kind: 'ConfigMap', metadata: { name, namespace: 'sluice' }, data };
}

function ingress(name: string, annotations: Data, more: object = {}): object {
  const backend = { service: { name: 'web', port: { number: 80 } } };
  const keys = Object.entries(annotations).map(([key, value]) => [`nginx.ingress.kubernetes.io/${key}`, value]);
  return {
    kind: 'Ingress',
    metadata: { name, namespace: 'demo', annotations: Object.fromEntries(keys) },
    spec: {
      ingressClassName: 'sluice',
      rules: [{ host: `${name}.example.com`, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
      ...more,
    },
  };
}

function service(name: string, protocol: string, port: number): object {
  return {
    kind: 'Service',
    metadata: { name, namespace: 'demo' },
    spec: { ports: [{ port, protocol }], clusterIP: '10.96.0.1' },
  };
}

/** @param field kind and id of a row and a path in it, with spaces between them */
function fieldOf(rows: readonly Row[], field: string): unknown {
  const [kind, id, path = ''] = field.split(' ');
  const found: unknown = rows.find((each) => each.kind === kind && each.row.id === id)?.row;
  return path
    .split('.')
    .reduce((value: unknown, name) => (value as Record<string, unknown> | undefined)?.[name], found);
}

test('a collector whose host could be part of no URL is refused', () => {
  const { parse } = configKeys['otlp-collector-host'];
  for (const host of ['10.0.0.5:4318', '999.0.0.1', '::::', 'a:b']) assert.equal(parse(host), undefined, host);
  for (const host of ['10.0.0.5', 'fd00::5', 'collector.otel.svc', 'Collector.']) assert.equal(parse(host), host);
});
