import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Translation } from '../../controller/translate/options.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { keyOf } from '../../controller/watch/view.ts';
import { optionsOf, readObjects, viewOf } from './translating.ts';

const pairs = join(import.meta.dirname, 'translate/certificates');
const nowMs = Date.parse('2026-01-01T00:00:00Z');
const path = (text: string, service: string) => ({
  path: text,
  pathType: 'Prefix',
  backend: { service: { name: service, port: { number: 80 } } },
});
const ingress = (name: string, host: string, text: string, service: string, tls?: string) => ({
  kind: 'Ingress',
  metadata: { name, namespace: 'demo' },
  spec: {
    ingressClassName: 'sluice',
    rules: [{ host, http: { paths: [path(text, service)] } }],
    ...(tls && { tls: [{ hosts: [host], secretName: tls }] }),
  },
});
const service = (name: string, port = 80) => ({
  kind: 'Service',
  metadata: { name, namespace: 'demo' },
  spec: { ports: [{ name: 'http', port }] },
});
const slice = (name: string, ...addresses: string[]) => ({
  kind: 'EndpointSlice',
  metadata: { name, namespace: 'demo', labels: { 'kubernetes.io/service-name': name } },
  ports: [{ name: 'http', port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});
const secret = (name: string, pair: string) => ({
  kind: 'Secret',
  metadata: { name, namespace: 'demo' },
  data: Object.fromEntries(
    ['crt', 'key'].map((part) => [`tls.${part}`, readFileSync(join(pairs, `${pair}.${part}`)).toString('base64')]),
  ),
});

/** A cluster that is changed object by object. */
class World {
  readonly #manifests = new Map<string, unknown>();
  readonly #translator = new Translator(optionsOf({}));

  /** Puts objects in (or takes one out: its key with undefined) and translates. */
  change(manifests: readonly unknown[], gone: readonly string[] = [], atMs = nowMs): Translation {
    const { objects } = readObjects(manifests);
    const changes = objects.map((object) => ({ kind: object.kind, key: keyOf(object) }));
    for (const [index, object] of objects.entries()) {
      this.#manifests.set(`${object.kind} ${keyOf(object)}`, manifests[index]);
    }
    for (const key of gone) {
      assert(this.#manifests.delete(key));
      const [kind = '', name = ''] = key.split(' ');
      changes.push({ kind: kind as (typeof changes)[number]['kind'], key: name });
    }
    const view = viewOf(readObjects([...this.#manifests.values()]).objects);
    return this.#translator.apply(view, changes, [], atMs);
  }

  /** Takes an object out without telling, as a source does with a Secret that nobody names any more. */
  drop(key: string): void {
    assert(this.#manifests.delete(key));
  }
}

const start = [
  ingress('web', 'shop.example.com', '/', 'web', 'shop-tls'),
  ingress('api', 'shop.example.com', '/api', 'api'),
  ingress('other', 'other.example.com', '/', 'web'),
  service('web'),
  service('api'),
  slice('web', '10.0.0.1'),
  slice('api', '10.0.0.2'),
  secret('shop-tls', 'shop'),
];

function started(): World {
  const world = new World();
  world.change(start);
  return world;
}

const touched = ({ upserts, deletes }: Translation) => [
  ...upserts.map(({ kind, row }) => `${kind} ${row.id}`).sort(),
  ...deletes.map(({ kind, id }) => `- ${kind} ${id}`).sort(),
];

test('endpoint changes touch endpoints rows only', () => {
  const world = started();
  assert.deepEqual(touched(world.change([slice('web', '10.0.0.1', '10.0.0.9')])), ['endpoints demo/web/80']);
  assert.deepEqual(touched(world.change([], ['EndpointSlice demo/web'])), ['endpoints demo/web/80']);
});

test('a Service change touches no route', () => {
  const world = started();
  assert.deepEqual(touched(world.change([], ['Service demo/api'])), ['backend demo/api/80', '- endpoints demo/api/80']);
  assert.deepEqual(touched(world.change([service('api')])), ['backend demo/api/80', 'endpoints demo/api/80']);
});

test('a path of one Ingress touches its own route', () => {
  const world = started();
  const changed = world.change([ingress('api', 'shop.example.com', '/v2', 'api')]);
  assert.deepEqual(touched(changed), ['route ingress/demo/api/0/0']);
});

test('an expression touches no other, whosever the host is', () => {
  const patterns = (name: string, namespace: string, text: string) => {
    const { kind, metadata, spec } = ingress(name, 'shop.example.com', text, 'web');
    const annotations = { 'nginx.ingress.kubernetes.io/use-regex': 'true' };
    return { kind, metadata: { ...metadata, name, namespace, annotations }, spec };
  };
  const world = new World();
  world.change([
    patterns('owner', 'demo', '/(.*)'),
    patterns('one', 'guest', '/[a-z]+'),
    patterns('two', 'other', '/[0-9]+'),
  ]);
  const changed = world.change([patterns('more', 'other', '/say/more')]);
  assert.deepEqual(touched(changed), ['route ingress/other/more/0/0']);
});

test('an Ingress that goes takes its rows with it, and nothing else', () => {
  const world = started();
  assert.deepEqual(touched(world.change([], ['Ingress demo/other'])), [
    '- host ingress/other.example.com',
    '- route ingress/demo/other/0/0',
  ]);
});

test('a certificate that rotates is one row; one that goes leaves the default in its place', () => {
  const world = started();
  assert.deepEqual(touched(world.change([secret('shop-tls', 'commonname')])), ['certificate demo/shop-tls']);
  const gone = world.change([], ['Secret demo/shop-tls']);
  assert.deepEqual(touched(gone), ['host ingress/shop.example.com', '- certificate demo/shop-tls']);
  assert.deepEqual([...gone.secretsInUse], ['demo/shop-tls']);
  assert.deepEqual(
    gone.problems.map(({ code }) => code),
    ['SecretNotFound'],
  );
});

test('of a Secret that nobody names any more nothing stays: it may be gone when it is named again', () => {
  const world = new World();
  const { kind, metadata, spec } = ingress('one', 'one.example.com', '/', 'web', 'both');
  const annotations = { 'nginx.ingress.kubernetes.io/auth-tls-secret': 'demo/both' };
  const rules = [...spec.rules, ...ingress('one', 'two.example.com', '/', 'web').spec.rules];
  const one = { kind, metadata: { ...metadata, annotations }, spec: { ...spec, rules } };
  const { data, ...both } = secret('both', 'wildcard');
  world.change([one, { ...both, data: { ...data, 'ca.crt': data['tls.crt'] } }]);
  assert.deepEqual([...world.change([], ['Ingress demo/one']).secretsInUse], []);
  world.drop('Secret demo/both');
  const { upserts, problems } = world.change([one]);
  assert.deepEqual(
    upserts.filter((each) => each.kind === 'secret' || each.kind === 'certificate').map(({ row }) => row.id),
    [],
  );
  const codes = problems.map(({ code }) => code).filter((code) => !code.startsWith('Service'));
  assert.deepEqual(codes.sort(), ['AnnotationClosesHost', 'SecretNotFound']);
});

test('a certificate expires without any change of an object', () => {
  const world = new World();
  const before = world.change([...start, secret('shop-tls', 'expired')], [], Date.parse('2025-05-31T00:00:00Z'));
  assert.deepEqual(before.problems, []);
  const after = world.change([], [], Date.parse('2025-06-02T00:00:00Z'));
  assert.deepEqual(touched(after), []);
  assert.deepEqual(
    after.problems.map(({ code, source }) => `${code} ${source.name}`),
    ['CertificateExpired web'],
  );
});

test('an Ingress that speaks to nobody shows nobody a certificate, so that none of it is told that nothing takes back', () => {
  const idle = {
    kind: 'Ingress',
    metadata: {
      name: 'idle',
      namespace: 'demo',
      annotations: { 'nginx.ingress.kubernetes.io/proxy-ssl-secret': 'demo/client' },
    },
    spec: { ingressClassName: 'sluice', rules: [] },
  };
  const codes = new World().change([idle, secret('client', 'expired')]).problems.map(({ code }) => code);
  assert.deepEqual(codes, ['IngressEmpty']);
});

test('what does not change is no change: no rows, the same problems', () => {
  const world = new World();
  const first = world.change([...start, ingress('broken', 'bad host', '/', 'web')]);
  const second = world.change(start);
  assert.deepEqual(touched(second), []);
  assert.equal(second.problems, first.problems);
  assert.equal(second.problems.length, 1);
});

test('an Ingress whose class becomes foreign is let go, and taken again', () => {
  const world = started();
  const ours = (controller: string) => ({ kind: 'IngressClass', metadata: { name: 'sluice' }, spec: { controller } });
  const foreign = world.change([ours('example.com/other')]);
  assert.deepEqual(foreign.ingresses, []);
  assert.equal(foreign.upserts.length, 0);
  const again = world.change([ours('sluice.dev/ingress-controller')]);
  assert.deepEqual(again.ingresses, ['demo/api', 'demo/other', 'demo/web']);
  assert.equal(again.upserts.length, foreign.deletes.length);
});

test('problems and rows never hold key material', () => {
  const world = new World();
  const { problems } = world.change([...start, secret('shop-tls', 'expired')]);
  assert.equal(problems.length, 1);
  assert.doesNotMatch(JSON.stringify(problems), /BEGIN|LS0t/);
});
