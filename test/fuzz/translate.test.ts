import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { TranslateOptions, Translation } from '../../controller/translate/options.ts';
import { regexFault } from '../../controller/translate/regexcheck.ts';
import { Translator } from '../../controller/translate/translator.ts';
import type { AnyObject, ObjectKind } from '../../controller/watch/objects.ts';
import { checkRegex } from '../../proxy/match/regex.ts';
import type { Backend } from '../../proxy/table/backend.ts';
import type { Host } from '../../proxy/table/listener.ts';
import { type Row, rowSchemas } from '../../proxy/table/rows.ts';
import { answerOf } from '../golden/answering.ts';
import { optionsOf, readObjects, viewOf } from '../golden/translating.ts';

const pairs = join(import.meta.dirname, '../golden/translate/certificates');
const read = (file: string) => readFileSync(join(pairs, file)).toString('base64');
const namespace = 'demo';
const prefix = 'nginx.ingress.kubernetes.io/';

const host = fc.constantFrom(
  'a.example.com',
  'b.example.com',
  '*.example.com',
  'shop.example.com',
  undefined,
  'bad host',
);
const service = fc.constantFrom('web', 'api', 'external', 'gone');
const backend = fc.record({
  service: fc.record({ name: service, port: fc.constantFrom({ number: 80 }, { name: 'http' }) }),
});
const path = fc.record({
  path: fc.constantFrom('/', '/foo', '/foo/', '/foo/bar', '/[a-z]+', '/foo(/|$)(.*)', '/foo|/', '/(', 'x'),
  pathType: fc.constantFrom('Exact', 'Prefix', 'ImplementationSpecific'),
  backend,
});
const annotations = fc
  .dictionary(
    fc.constantFrom(
      'use-regex',
      'rewrite-target',
      'server-snippet',
      'ssl-ciphers',
      'auth-tls-match-cn',
      'affinity',
      'affinity-mode',
      'load-balance',
      'upstream-hash-by',
      'service-upstream',
      'backend-protocol',
      'app-root',
      'force-ssl-redirect',
      'ssl-passthrough',
      'auth-url',
      'auth-tls-secret',
      'canary',
      'nonsense',
      'proxy-ssl-secret',
      'proxy-ssl-verify',
      'auth-tls-verify-client',
    ),
    fc.constantFrom(
      'on',
      's1',
      's2',
      'demo/s2',
      'other/s1',
      'true',
      'false',
      'cookie',
      'persistent',
      'ewma',
      '/x/$1',
      '/',
      'https',
      'grpc',
      '$request_uri',
      '',
    ),
    { maxKeys: 3 },
  )
  .map((texts) => Object.fromEntries(Object.entries(texts).map(([name, text]) => [prefix + name, text])));

const ingress = fc.record({
  kind: fc.constant('Ingress'),
  metadata: fc.record({
    name: fc.constantFrom('one', 'two', 'three', 'four'),
    namespace: fc.constantFrom(namespace, namespace, 'other'),
    creationTimestamp: fc.constantFrom('', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    annotations,
  }),
  spec: fc.record(
    {
      ingressClassName: fc.constantFrom('sluice', 'edge', 'other'),
      rules: fc.array(fc.record({ host, http: fc.record({ paths: fc.array(path, { maxLength: 3 }) }) }), {
        maxLength: 3,
      }),
      tls: fc.array(
        fc.record({
          hosts: fc.array(fc.constantFrom('a.example.com', 'shop.example.com', '*.example.com'), { maxLength: 2 }),
          secretName: fc.constantFrom('s1', 's2', 's3'),
        }),
        { maxLength: 2 },
      ),
      defaultBackend: backend,
    },
    { requiredKeys: ['rules'] },
  ),
});
const ingressClass = fc.record({
  kind: fc.constant('IngressClass'),
  metadata: fc.record({
    name: fc.constantFrom('sluice', 'edge'),
    annotations: fc.constantFrom({}, { 'ingressclass.kubernetes.io/is-default-class': 'true' }),
  }),
  spec: fc.record({ controller: fc.constantFrom('sluice.dev/ingress-controller', 'example.com/other') }),
});
const serviceObject = fc.record({
  kind: fc.constant('Service'),
  metadata: fc.record({ name: fc.constantFrom('web', 'api', 'external', 'errors'), namespace: fc.constant(namespace) }),
  spec: fc.record({
    type: fc.constantFrom('ClusterIP', 'ExternalName'),
    clusterIP: fc.constantFrom('10.96.0.1', 'None'),
    externalName: fc.constantFrom('x.example.org', 'localhost'),
    sessionAffinity: fc.constantFrom('None', 'ClientIP'),
    ports: fc.constantFrom(...[[{ name: 'http', port: 80 }], [{ port: 80, appProtocol: 'https' }], []], [
      { name: 'http', port: 80 },
      { name: 'udp', port: 80, protocol: 'UDP' },
    ]),
  }),
});
const slice = fc.record({
  kind: fc.constant('EndpointSlice'),
  metadata: fc.record({
    name: fc.constantFrom('x', 'y', 'z'),
    namespace: fc.constant(namespace),
    labels: fc.record({ 'kubernetes.io/service-name': fc.constantFrom('web', 'api', 'errors') }),
  }),
  ports: fc.constantFrom([{ name: 'http', port: 8080 }], [{ port: 8080 }]),
  endpoints: fc.array(
    fc.record({
      addresses: fc.tuple(fc.constantFrom('10.0.0.1', '10.0.0.2', '127.0.0.1')),
      conditions: fc.record({ ready: fc.boolean(), terminating: fc.boolean() }),
    }),
    { maxLength: 3 },
  ),
});
const secret = fc.record({
  kind: fc.constant('Secret'),
  metadata: fc.record({
    name: fc.constantFrom('s1', 's2', 's3'),
    namespace: fc.constantFrom(namespace, namespace, 'other'),
  }),
  data: fc
    .constantFrom(['shop', 'shop'], ['wildcard', 'wildcard'], ['expired', 'expired'], ['shop', 'wildcard'], null)
    .chain((pair) =>
      fc.boolean().map((hasAuthority) => ({
        ...(pair && { 'tls.crt': read(`${pair[0]}.crt`), 'tls.key': read(`${pair[1]}.key`) }),
        ...(hasAuthority && { 'ca.crt': read('wildcard.crt') }),
      })),
    ),
});

const configMap = fc.record({
  kind: fc.constant('ConfigMap'),
  metadata: fc.record({ name: fc.constantFrom('gateway', 'other'), namespace: fc.constant(namespace) }),
  data: fc.dictionary(
    fc.constantFrom(
      ...['ssl-redirect', 'proxy-read-timeout', 'load-balance', 'service-upstream', 'hsts', 'use-forwarded-headers'],
      ...['whitelist-source-range', 'proxy-body-size', 'nonsense'],
    ),
    fc.constantFrom('true', 'false', '7', 'ewma', ''),
    { maxKeys: 3 },
  ),
});

const portsConfigMap = fc.record({
  kind: fc.constant('ConfigMap'),
  metadata: fc.record({ name: fc.constantFrom('tcp', 'udp'), namespace: fc.constant(namespace) }),
  data: fc.dictionary(
    fc.constantFrom('53', '9000', '9001', '8080', 'x'),
    fc.constantFrom('demo/web:80', 'demo/web:http:PROXY', 'demo/api:80::PROXY', 'demo/gone:1', 'demo/external:80', ''),
    { maxKeys: 3 },
  ),
});

/** One step: an object comes or changes, or goes. */
const step = fc.record({
  manifest: fc.oneof(
    { weight: 6, arbitrary: ingress },
    { weight: 2, arbitrary: ingressClass },
    { weight: 3, arbitrary: serviceObject },
    { weight: 3, arbitrary: slice },
    { weight: 3, arbitrary: secret },
    { weight: 2, arbitrary: configMap },
    { weight: 2, arbitrary: portsConfigMap },
  ),
  isGone: fc.boolean(),
});
const batches = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });
const optionChanges = fc.constantFrom(
  {},
  { servesClassless: true, defaultBackendService: 'demo/errors', defaultCertificateSecret: 'demo/s1' },
  { defaultBackendService: 'demo/web:80', allowsLoopbackEndpoints: true },
  { configMap: 'demo/gateway', defaultBackendService: 'demo/errors' },
  { configMap: 'demo/gateway', tcpServices: 'demo/tcp', udpServices: 'demo/udp', defaultBackendService: 'demo/web:80' },
);

test('any order of changes ends in what a full translation makes', () => {
  fc.assert(
    fc.property(batches, optionChanges, (changes, options) => {
      check(changes, optionsOf(options));
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 300), seed: 20261121 },
  );
});

test('a pattern that passes here passes in the proxy, which would refuse the whole table for it', () => {
  const pieces = fc.constantFrom(
    ...'a/()[]{}-^$.*+?|\\,019éß漢😀',
    '(?i)',
    '(?:',
    '[:alpha:]',
    '\\d',
    '\\Q',
    '\\E',
    '{3}',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
      const pattern = parts.join('');
      if (regexFault(pattern) === undefined) assert.equal(checkRegex(pattern, true), null, pattern);
    }),
    { numRuns: 20 * Number(process.env['FUZZ_RUNS'] ?? 300), seed: 20261121 },
  );
});

test('others change nothing of the hosts of a namespace but a certificate that was the default one', () => {
  fc.assert(
    fc.property(fc.array(ingress, { maxLength: 6 }), fc.array(secret, { maxLength: 4 }), (ingresses, secrets) => {
      const guests = ingresses.filter(({ metadata }) => metadata.namespace !== namespace).map(asGuest);
      const owners = ingresses.filter(({ metadata }) => metadata.namespace === namespace).map(met);
      const alone = rowsOf([...secrets, ...owners]);
      const both = rowsOf([...secrets, ...owners, ...guests]);
      const ofHosts = sharedRows(both);
      const routes = new Map(both.map(({ row }) => [row.id, row]));
      for (const [key, row] of sharedRows(alone)) assert.deepEqual(ofHosts.get(key), row, key);
      for (const { row, kind } of alone) {
        if (kind !== 'route' || !isOwn(row.id) || ofDefault.test(row.id)) continue;
        const { value } = row.match.path;
        // A slash that is added is no path of his.
        if (row.id.endsWith('/slash') || row.id.includes('/app-root/')) continue;
        assert.deepEqual(routes.get(row.id), row);
        if (!/^[a-z/]+$/.test(value)) continue;
        const line = `GET http://${row.hostIds[0]?.replace('ingress/', '').replace('*', 'any')}${value}`;
        const expected = answerOf(line, alone);
        // What is closed for an expression that cannot be used is no rule, and gives way to one.
        if (expected !== '503 PathRegexInvalid') assert.equal(answerOf(line, both), expected, line);
      }
    }),
    { numRuns: 3 * Number(process.env['FUZZ_RUNS'] ?? 300), seed: 20261128 },
  );
});

const ofDefault = /\/default\/\d+$/;

type IngressManifest = typeof ingress extends fc.Arbitrary<infer T> ? T : never;

/** The youngest of all, for `~` sorts after every time, and after none; an exact path says more than a prefix of the owner. */
function asGuest(manifest: IngressManifest) {
  const { metadata, spec, ...rest } = met(manifest);
  const rules = spec.rules.map(({ host, http: { paths } }) => ({
    host,
    http: { paths: paths.map((one) => ({ ...one, pathType: one.pathType === 'Exact' ? 'Prefix' : one.pathType })) },
  }));
  return { ...rest, spec: { ...spec, rules }, metadata: { ...metadata, creationTimestamp: '~' } };
}

/** On a host that others are on, too, and often with regular expressions. */
function met({ metadata, spec, ...rest }: IngressManifest) {
  const isRegex = metadata.name < 'three' ? 'true' : 'false';
  const annotations = { [`${prefix}use-regex`]: isRegex, ...metadata.annotations };
  const rules = spec.rules.map(({ host, http }) => ({ host: host === '*.example.com' ? host : 'a.example.com', http }));
  return { ...rest, spec: { ...spec, ingressClassName: 'sluice', rules }, metadata: { ...metadata, annotations } };
}

function rowsOf(manifests: readonly { kind: string }[]): readonly Row[] {
  return new Translator(optionsOf({})).apply(viewOf(readObjects(manifests).objects), [], [], 0).upserts;
}

/** Of hosts, and of what is passed through. */
function sharedRows(rows: readonly Row[]): Map<string, unknown> {
  return new Map(
    rows.flatMap(({ kind, row }): [string, unknown][] => {
      if (kind === 'host') return [[row.id, { ...row, certificateIds: row.certificateIds.filter(isOwn) }]];
      return kind === 'l4route' ? [[row.id, row]] : [];
    }),
  );
}

function isOwn(id: string): boolean {
  return id.startsWith(`${namespace}/`) || id.startsWith(`ingress/${namespace}/`);
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function check(changes: readonly (readonly Step[])[], options: TranslateOptions): void {
  const objects = new Map<string, AnyObject>();
  const translator = new Translator(options);
  let table = new Map<string, unknown>();
  // The clock passes the end of the expired pair on the way.
  let nowMs = Date.parse('2025-05-01T00:00:00Z');
  for (const batch of changes) {
    const changed = batch.map(({ manifest, isGone }) => {
      const [object] = readObjects([manifest]).objects;
      assert(object !== undefined, 'a generated manifest could not be read');
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      if (isGone) objects.delete(`${object.kind} ${key}`);
      else objects.set(`${object.kind} ${key}`, object);
      return { kind: object.kind as ObjectKind, key };
    });
    nowMs += 15 * 86_400_000;
    const view = viewOf([...objects.values()]);
    const step = translator.apply(view, changed, [], nowMs);
    table = applied(table, step);
    const full = new Translator(options).apply(view, [], [], nowMs);
    assert.deepEqual(sorted(table), sorted(applied(new Map(), full)));
    assert.deepEqual(step.problems, full.problems);
    assert.deepEqual(step.secretsInUse, full.secretsInUse);
    assert.deepEqual(step.ingresses, full.ingresses);
  }
}

/** The table after a step. Nothing in a step may be without effect, and no row may point at nothing. */
function applied(before: ReadonlyMap<string, unknown>, step: Translation): Map<string, unknown> {
  const table = new Map(before);
  for (const { kind, row } of step.upserts) {
    rowSchemas[kind].parse(row);
    const key = `${kind} ${row.id}`;
    assert(!isDeepStrictEqual(table.get(key), row), `${key} did not change`);
    table.set(key, row);
  }
  for (const { kind, id } of step.deletes) assert(table.delete(`${kind} ${id}`), `${kind} ${id} was not there`);
  for (const [key, row] of table) {
    for (const target of pointers(key, row))
      assert(table.has(target), `${key} points at ${target}, which is not there`);
  }
  return table;
}

function pointers(key: string, row: unknown): string[] {
  const {
    hostIds = [],
    backends = [],
    certificateIds = [],
    backendIds = [],
    tls,
    clientAuth,
  } = row as {
    hostIds?: string[];
    backends?: { backendId: string }[];
    certificateIds?: string[];
    backendIds?: string[];
    tls?: Backend['tls'];
    clientAuth?: Host['clientAuth'];
  };
  const isBackend = key.startsWith('backend ');
  return [
    ...hostIds.map((id) => `host ${id}`),
    ...(key.startsWith('route ') ? backends : []).map(({ backendId }) => `backend ${backendId}`),
    ...certificateIds.map((id) => `certificate ${id}`),
    ...backendIds.map((id) => `backend ${id}`),
    ...(isBackend && tls?.verify?.caSecretId ? [`secret ${tls.verify.caSecretId}`] : []),
    ...(clientAuth ? [`secret ${clientAuth.caSecretId}`] : []),
    ...(isBackend && tls?.certificateId ? [`certificate ${tls.certificateId}`] : []),
  ];
}

function sorted(table: ReadonlyMap<string, unknown>): [string, unknown][] {
  return [...table].sort(([a], [b]) => (a < b ? -1 : 1));
}
