import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { registry } from '../../controller/annotations/registry.ts';
import { configMapDocument } from '../../controller/configmap/document.ts';
import { readConfigMap } from '../../controller/configmap/read.ts';
import { configKeys } from '../../controller/configmap/registry.ts';
import { unhonouredKeys } from '../../controller/configmap/unhonoured.ts';
import { standaloneFlags } from '../../controller/ops/flags.ts';
import { dashed } from '../../controller/ops/settings.ts';
import { defaultTranslateOptions } from '../../controller/translate/options.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { keyOf } from '../../controller/watch/view.ts';
import { limitFlags } from '../../limitflags.ts';
import type { Row, RowKind, RowOf } from '../../proxy/table/rows.ts';
import { optionsOf, readObjects, viewOf } from './translating.ts';

const docs = join(import.meta.dirname, '../../docs');
const key = 'sluice/config';
const manifest = (data: Record<string, string>) => ({
  kind: 'ConfigMap',
  metadata: { name: 'config', namespace: 'sluice' },
  data,
});
const read = (data: Record<string, string>) => {
  const [object] = readObjects([manifest(data)]).objects;
  return readConfigMap(object?.kind === 'ConfigMap' ? object : undefined, key, defaultTranslateOptions);
};
const codes = (data: Record<string, string>) => read(data).problems.map(({ code }) => code);

test('docs/configmap.md is what the registry says (UPDATE=1 writes it)', () => {
  const text = configMapDocument();
  if (process.env['UPDATE'] === '1') {
    mkdirSync(docs, { recursive: true });
    writeFileSync(join(docs, 'configmap.md'), text);
  }
  assert.equal(readFileSync(join(docs, 'configmap.md'), 'utf8'), text);
});

test('a key is known once, and names flags that there are', () => {
  const both = Object.keys(configKeys).filter((name) => unhonouredKeys.has(name));
  assert.deepEqual(both, []);
  const flags = new Set(
    [...Object.keys(standaloneFlags), ...Object.keys(limitFlags)].map((name) => `--${dashed(name)}`),
  );
  const named = [
    ...Object.values(configKeys).flatMap(({ flag }) => flag ?? []),
    ...[...unhonouredKeys.values()].flatMap(({ advice }) => advice.match(/--[a-z-]+/g) ?? []),
  ];
  assert(named.length > 15);
  assert.deepEqual(
    named.filter((flag) => !flags.has(flag)),
    [],
  );
});

test('a key that is an annotation, too, takes what the annotation takes', () => {
  const values = [
    'true',
    'false',
    'yes',
    '0',
    '5',
    '60s',
    '1m',
    '-1',
    '',
    'ewma',
    'round_robin',
    'least_conn',
    '::1, 10.0.0.0/8',
  ];
  const shared = Object.keys(configKeys).filter((name) => Object.hasOwn(registry, name));
  assert(shared.length > 5);
  for (const name of shared) {
    const { parse } = configKeys[name as keyof typeof configKeys];
    // An empty list of addresses is none here; on an Ingress it closes the paths.
    for (const value of values.filter((each) => each !== '' || !name.endsWith('source-range'))) {
      const own = registry[name as keyof typeof registry].parse(value);
      assert.deepEqual(parse(value), own, `${name}: ${value}`);
    }
  }
});

test('no value of any key throws, passes a line break or goes unheard', () => {
  const values = [' ', 'x', '\r\nX: y', '/a\nb', '$', '-1', '1e9', '/'.repeat(100_000), '\u0000', '10.0.0.0/99'];
  for (const name of [...Object.keys(configKeys), ...unhonouredKeys.keys(), 'constructor', '__proto__']) {
    for (const value of values) {
      const data = Object.fromEntries([[name, value]]);
      const { settings, problems } = readConfigMap(
        { kind: 'ConfigMap', metadata: { name: 'config', namespace: 'sluice' } as never, data },
        key,
        defaultTranslateOptions,
      );
      const taken = Object.entries(settings).filter(([, setting]) => setting !== undefined);
      const refusals = problems.filter(({ code }) => code !== 'ConfigKeyWithoutEffect');
      const isHeard = taken.length + refusals.length > 0 || unhonouredKeys.get(name)?.harmless.includes(value.trim());
      assert(isHeard, `${name}: ${JSON.stringify(value)}`);
      assert.doesNotMatch(JSON.stringify(taken), /\\[rn]|\\u0000/);
    }
  }
});

test('what nobody honours yet and what protects closes the gateway', () => {
  const closing = [...unhonouredKeys].filter(([, { closes }]) => closes).map(([name]) => name);
  assert.equal(closing.length, 12);
  for (const name of closing) {
    const { closedBy, problems } = read({ [name]: '10.0.0.0/8' });
    assert.equal(closedBy?.field, `data[${name}]`);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['ConfigKeyDenies'],
    );
    assert.equal(read({ [name]: '' }).closedBy, null);
  }
});

test('a media type with half a wildcard, which is nobody’s, is refused', () => {
  for (const key of ['gzip-types', 'brotli-types']) {
    const on = { [key === 'gzip-types' ? 'use-gzip' : 'enable-brotli']: 'true' };
    for (const types of ['application/x-*', 'text/css application/*json', 'app*/json', '*/*'])
      assert.deepEqual(codes({ ...on, [key]: types }), ['ConfigKeyInvalid'], types);
    for (const types of ['*', 'application/*', 'text/css application/vnd.api+json'])
      assert.deepEqual(codes({ ...on, [key]: types }), [], types);
  }
});

test('of a bad hsts key is said what holds in its place where another makes it be sent, and not that --hsts does', () => {
  for (const [key, usual] of [
    ['hsts', 'true'],
    ['hsts-max-age', '31536000'],
    ['hsts-include-subdomains', 'true'],
    ['hsts-preload', 'false'],
  ] as const) {
    const { settings, problems } = read({ hsts: 'true', 'hsts-max-age': '60', [key]: 'no' });
    assert.equal(settings[key], undefined);
    const told = `; it is as if the key were not there (with another hsts key: ${usual}).`;
    assert.ok(problems[0]?.message.endsWith(told), told);
  }
});

test('keys that do nothing, or less than they say, are told', () => {
  assert.deepEqual(codes({ 'proxy-real-ip-cidr': '10.0.0.0/8' }), ['ConfigKeyWithoutEffect']);
  assert.deepEqual(codes({ 'proxy-real-ip-cidr': '10.0.0.0/8', 'use-forwarded-headers': 'true' }), []);
  assert.deepEqual(codes({ 'proxy-real-ip-cidr': '10.0.0.0/8', 'use-proxy-protocol': 'true' }), []);
  // Proxies read no such forms, for readers take them differently: nobody would be believed, and nobody told.
  for (const range of ['10/8', '10.1/16', '10.1', '010.0.0.1', '10.0.0.0/8, 0x0a.0.0.1']) {
    const given = { 'proxy-real-ip-cidr': range, 'use-forwarded-headers': 'true' };
    assert.deepEqual(codes(given), ['ConfigKeyInvalid'], range);
  }
  assert.deepEqual(codes({ hsts: 'false', 'hsts-max-age': '60' }), ['ConfigKeyWithoutEffect']);
  assert.deepEqual(codes({ 'ssl-protocols': 'TLSv1 TLSv1.1 TLSv1.2 TLSv1.3' }), ['ConfigKeyWithoutEffect']);
  assert.deepEqual(codes({ 'ssl-protocols': 'TLSv1' }), ['ConfigKeyInvalid']);
  assert.deepEqual(codes({ 'ssl-protocols': 'TLSv1.2' }), []);
  assert.deepEqual(codes({ 'ssl-ciphers': 'NOPE', 'ssl-ecdh-curve': 'nope' }), [
    'ConfigKeyInvalid',
    'ConfigKeyInvalid',
  ]);
  assert.deepEqual(codes({ 'ssl-session-tickets': 'false', 'ssl-session-timeout': '10m' }), ['ConfigKeyWithoutEffect']);
  assert.deepEqual(codes({ 'ssl-session-timeout': '2d' }), ['ConfigKeyInvalid']);
  const idle = (data: Record<string, string>) =>
    read(data).problems.map(({ code, source, message }) => {
      assert.equal(code, 'ConfigKeyWithoutEffect', message);
      return source.field?.slice('data['.length, -1);
    });
  const collector = { 'otlp-collector-host': 'collector', 'enable-opentelemetry': 'true' };
  const tracing = { 'otel-sampler': 'TraceIdRatioBased', 'otel-sampler-ratio': '0.5', 'otlp-collector-port': '4318' };
  assert.deepEqual(idle({ 'enable-opentelemetry': 'true', ...tracing }), [
    'enable-opentelemetry',
    ...['otlp-collector-port', 'otel-sampler', 'otel-sampler-ratio'],
  ]);
  assert.deepEqual(idle({ 'enable-opentelemetry': 'false' }), []);
  assert.deepEqual(idle({ ...collector, ...tracing }), []);
  assert.deepEqual(idle({ ...collector, 'otel-sampler-ratio': '0.5' }), ['otel-sampler-ratio']);
  const gzip = { 'gzip-level': '5', 'gzip-min-length': '1', 'gzip-types': 'text/css' };
  assert.deepEqual(idle(gzip), ['gzip-level', 'gzip-min-length', 'gzip-types']);
  assert.deepEqual(idle({ ...gzip, 'use-gzip': 'true' }), []);
  const brotli = { 'brotli-level': '5', 'brotli-min-length': '1', 'brotli-types': 'text/css' };
  assert.deepEqual(idle({ ...brotli, 'use-gzip': 'true' }), ['brotli-level', 'brotli-min-length', 'brotli-types']);
  assert.deepEqual(idle({ ...brotli, 'enable-brotli': 'true' }), []);
  assert.deepEqual(idle({ 'keep-alive': '0', 'keep-alive-requests': '5' }), ['keep-alive-requests']);
  const tries = { 'proxy-stream-next-upstream-tries': '5', 'proxy-stream-next-upstream-timeout': '5s' };
  assert.deepEqual(idle(tries), []);
  assert.deepEqual(idle({ ...tries, 'proxy-stream-next-upstream': 'false' }), [
    'proxy-stream-next-upstream-timeout',
    'proxy-stream-next-upstream-tries',
  ]);
  assert.deepEqual(idle({ 'proxy-protocol-header-timeout': '9s' }), ['proxy-protocol-header-timeout']);
  assert.deepEqual(idle({ 'proxy-protocol-header-timeout': '9s', 'use-proxy-protocol': 'true' }), []);
  assert.deepEqual(idle({ 'ssl-protocols': 'TLSv1.3', 'ssl-ciphers': 'ECDHE-RSA-AES128-GCM-SHA256' }), ['ssl-ciphers']);
  assert.deepEqual(codes({ 'max-worker-connections': '75' }), ['ConfigKeyNotHonoured']);
  assert.deepEqual(codes({ 'grpc-buffer-size-kb': '8', 'enable-serial-reloads': 'true' }), [
    'ConfigKeyNotHonoured',
    'ConfigKeyNotHonoured',
  ]);
  assert.deepEqual(codes({ 'server-tokens': 'false' }), []);
  assert.deepEqual(codes({ 'proxy-boddy-size': '1m' }), ['ConfigKeyUnknown']);
});

test('an edit touches the rows that the key is about, and no others', () => {
  const ingress = (name: string, annotations: Record<string, string>) => ({
    kind: 'Ingress',
    metadata: { name, namespace: 'demo', annotations },
    spec: {
      ingressClassName: 'sluice',
      rules: [{ host: `${name}.example.com` }],
      defaultBackend: { service: { name: 'web', port: { number: 80 } } },
    },
  });
  const annotation = { 'sluice.dev/proxy-read-timeout': '7', 'sluice.dev/proxy-body-size': '9k' };
  const service = {
    kind: 'Service',
    metadata: { name: 'web', namespace: 'demo' },
    spec: { ports: [{ port: 80 }], clusterIP: '10.96.0.1' },
  };
  const fixed = [ingress('plain', {}), ingress('own', annotation), service];
  const translator = new Translator(optionsOf({ configMap: key }));
  let isFirst = true;
  const change = (data: Record<string, string> | null) => {
    const { objects } = readObjects([...fixed, ...(data === null ? [] : [manifest(data)])]);
    const changes = isFirst
      ? objects.map((object) => ({ kind: object.kind, key: keyOf(object) }))
      : [{ kind: 'ConfigMap', key } as const];
    isFirst = false;
    const { upserts, deletes, problems } = translator.apply(viewOf(objects), changes, [], 0);
    assert.deepEqual(deletes, []);
    const touched = upserts.map(({ kind, row }) => `${kind} ${row.id}`).sort();
    return { upserts, touched, codes: problems.map(({ code }) => code) };
  };
  const rowOf = <K extends RowKind>(upserts: readonly Row[], kind: K) =>
    upserts.find((row) => row.kind === kind)?.row as RowOf<K> | undefined;

  assert(change(null).codes.includes('ConfigMapNotFound'));
  assert.deepEqual(change({}).touched, []);

  const timeout = change({ 'proxy-read-timeout': '5' });
  assert.deepEqual(timeout.touched, ['route ingress/demo/plain/default/0']);
  assert.equal(rowOf(timeout.upserts, 'route')?.timeouts.readMs, 5000);

  const both = change({ 'proxy-read-timeout': '5', 'hsts-max-age': '60', 'use-forwarded-headers': 'true' });
  assert.deepEqual(both.touched, ['listener http', 'listener https']);
  const https = both.upserts.find(({ row }) => row.id === 'https')?.row as { hsts: string; trustedProxies: string[] };
  assert.equal(https.hsts, 'max-age=60; includeSubDomains');
  assert.deepEqual(https.trustedProxies, ['0.0.0.0/0', '::/0']);

  const bad = change({
    'proxy-read-timeout': '5',
    'hsts-max-age': '60',
    'use-forwarded-headers': 'true',
    'proxy-real-ip-cidr': 'x',
  });
  assert.deepEqual(bad.touched, ['listener http', 'listener https']);
  assert.deepEqual(rowOf(bad.upserts, 'listener')?.trustedProxies, []);

  const balance = change({ 'load-balance': 'ewma', 'service-upstream': 'true' });
  assert.deepEqual(balance.touched.slice(0, 2), ['backend demo/web/80', 'endpoints demo/web/80']);
  assert.equal(rowOf(balance.upserts, 'backend')?.balance.algorithm, 'ewma');

  const closed = change({ 'load-balance': 'ewma', 'service-upstream': 'true', 'block-cidrs': '10.0.0.0/8' });
  assert.equal(rowOf(closed.upserts, 'backend')?.broken?.status, 503);
  const routes = closed.upserts.flatMap((row) => (row.kind === 'route' ? [row.row] : []));
  assert.equal(routes.length, 2);
  for (const route of routes) assert.match(route.backends[0]?.backendId ?? '', /#denied$/);
});

test('an Ingress that asks for spans is told while nobody takes them', () => {
  const traced = {
    kind: 'Ingress',
    metadata: { name: 'web', namespace: 'demo', annotations: { 'sluice.dev/enable-opentelemetry': 'true' } },
    spec: { ingressClassName: 'sluice', rules: [{ host: 'web.example.com' }] },
  };
  const translator = new Translator(optionsOf({ configMap: key }));
  const told = (data: Record<string, string>, changes: readonly { kind: 'ConfigMap' | 'Ingress'; key: string }[]) => {
    const { problems } = translator.apply(viewOf(readObjects([traced, manifest(data)]).objects), changes, [], 0);
    return problems.flatMap(({ code, source }) => (code === 'AnnotationWithoutEffect' ? [source.field] : []));
  };
  const field = 'metadata.annotations[sluice.dev/enable-opentelemetry]';
  assert.deepEqual(told({}, [{ kind: 'Ingress', key: 'demo/web' }]), [field]);
  assert.deepEqual(told({ 'otlp-collector-host': 'collector' }, [{ kind: 'ConfigMap', key }]), []);
  assert.deepEqual(told({}, [{ kind: 'ConfigMap', key }]), [field]);
});

test('who is believed: proxy-real-ip-cidr goes before --trusted-proxies, and that before everybody', () => {
  const believed = (flag: string[], data: Record<string, string>) => {
    const usual = optionsOf({ configMap: key });
    const { http, https } = usual.listeners;
    const given = { ...http, trustedProxies: flag };
    const listeners = { http: given, https: { ...https, trustedProxies: flag } };
    const translator = new Translator({ ...usual, listeners });
    const { upserts } = translator.apply(viewOf(readObjects([manifest(data)]).objects), [], [], 0);
    const both = upserts.flatMap((row) => (row.kind === 'listener' ? [row.row.trustedProxies.join()] : []));
    assert.equal(new Set(both).size, 1);
    return both[0];
  };
  const flag = ['10.0.0.0/8'];
  const on = { 'use-forwarded-headers': 'true' };
  assert.equal(believed(flag, {}), '10.0.0.0/8');
  assert.equal(believed(flag, on), '10.0.0.0/8');
  assert.equal(believed([], on), '0.0.0.0/0,::/0');
  assert.equal(believed(flag, { ...on, 'proxy-real-ip-cidr': '192.0.2.0/24' }), '192.0.2.0/24');
  assert.equal(believed(flag, { ...on, 'proxy-real-ip-cidr': 'x' }), '');
  assert.equal(believed(flag, { 'use-forwarded-headers': 'false' }), '');
});

test('a ConfigMap that cannot be read closes the gateway, whatever it was before and is after', () => {
  const office = { 'whitelist-source-range': '10.0.0.0/8' };
  const rule = {
    kind: 'Ingress',
    metadata: { name: 'web', namespace: 'demo' },
    spec: {
      ingressClassName: 'sluice',
      rules: [{ host: 'web.example.com' }],
      defaultBackend: { service: { name: 'web', port: { number: 80 } } },
    },
  };
  const translator = new Translator(optionsOf({ configMap: key }));
  let backendIds: string[] = [];
  const put = (data: Record<string, unknown> | null, isChange = true) => {
    const config = data === null ? [] : [{ ...manifest({}), data }];
    const { objects, unreadable } = readObjects([rule, ...config]);
    const changes = isChange ? [{ kind: 'ConfigMap', key } as const] : [];
    const { upserts, problems } = translator.apply(viewOf(objects), changes, unreadable, 0);
    const routes = upserts.flatMap((row) => (row.kind === 'route' ? [row.row] : []));
    if (routes.length > 0) backendIds = routes.flatMap(({ backends }) => backends.map(({ backendId }) => backendId));
    return {
      backend: backendIds.join(),
      codes: problems.map(({ code }) => code).filter((code) => /Config|Obj/.test(code)),
    };
  };
  const open = 'demo/web/80';
  const closed = 'ingress/web.example.com#denied';
  const told = ['ConfigMapUnreadable', 'ObjectMalformed'];
  assert.deepEqual(put({ ...office, 'use-gzip': true }), { backend: closed, codes: told });
  assert.deepEqual(put(office), { backend: open, codes: [] });
  assert.deepEqual(put({ ...office, 'use-gzip': true }), { backend: closed, codes: told });
  // Deleted: to the view, it was not there before either.
  assert.deepEqual(put(null, false), { backend: open, codes: ['ConfigMapNotFound'] });
  assert.deepEqual(put({ ...office, 'keep-alive': 75 }, false), { backend: closed, codes: told });
});
