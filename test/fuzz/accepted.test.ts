import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { registry } from '../../controller/annotations/registry.ts';
import { configKeys } from '../../controller/configmap/registry.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { Live } from '../../proxy/receive/apply.ts';
import { applyDelta, deltaOf } from '../../proxy/receive/delta.ts';
import { faultsOf } from '../../proxy/receive/validate.ts';
import { Selector } from '../../proxy/select/selector.ts';
import { LocalAffinity } from '../../proxy/share/affinity.ts';
import { schemaVersion } from '../../proxy/table/change.ts';
import { emptyTable, tableContract } from '../../proxy/table/rows.ts';
import { BatchReader, commitLine, deleteLine, rowLine, snapshotLine } from '../../proxy/table/wire.ts';
import { optionsOf, readObjects, viewOf } from '../golden/translating.ts';
import { Authority } from '../kit/authority.ts';

/**
 * A proxy refuses a table whole, so one object that the writer lets through and the reader does not would freeze the tables of
 * everybody. Objects here are as odd as a tenant can make them: values of the golden cases, cut, joined and put under names that
 * they are not for, and key material of every kind.
 */
const golden = join(import.meta.dirname, '../golden/translate');
const prefix = 'nginx.ingress.kubernetes.io/';
const namespace = 'demo';

interface Manifest {
  kind: string;
  metadata?: { annotations?: Record<string, string> };
  data?: Record<string, string>;
}

const texts = new Set<string>();
for (const file of readdirSync(golden).filter((name) => name.endsWith('.yaml'))) {
  const { objects = [] } = parse(readFileSync(join(golden, file), 'utf8')) as { objects?: Manifest[] };
  for (const { kind, metadata, data } of objects) {
    for (const text of Object.values(metadata?.annotations ?? {})) texts.add(String(text));
    if (kind === 'ConfigMap') for (const text of Object.values(data ?? {})) texts.add(String(text));
  }
}

const piece = fc.constantFrom(
  ...[
    '',
    ' ',
    '\n',
    '\r\n',
    '\0',
    '\t',
    ',',
    ';',
    ':',
    '/',
    '//',
    '..',
    '%',
    '%2f',
    '$',
    '$1',
    '"',
    "'",
    '\\',
    '[',
    '(',
    ')',
    '*',
    '{',
  ],
  ...[
    '0',
    '-1',
    '1',
    '99999999999',
    '1e9',
    'on',
    'true',
    'é',
    '漢',
    '😀',
    '\ud800',
    '::',
    '0.0.0.0/0',
    '@SECLEVEL=5',
    'ALL',
    'CN=',
  ],
  ...[
    '(?i)',
    '[[:alpha:]]',
    '\\pL',
    '(a+)+',
    'a{1000}',
    'x'.repeat(3_000),
    '__proto__',
    'demo/s1',
    'demo/s2',
    'localhost',
    'http://',
  ],
);
const text = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...texts) },
  { weight: 2, arbitrary: fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('')) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...texts), piece, fc.nat(), fc.nat(4)).map(([value, put, place, cut]) => {
      const at = place % (value.length + 1);
      return value.slice(0, at) + put + value.slice(at + cut);
    }),
  },
);
/** What belongs together is often together. */
const secretName = fc.constantFrom('demo/s1', 'demo/s1', 'demo/s2', 's1');
const suites = fc.constantFrom('ALL:@SECLEVEL=5', 'ALL:@SECLEVEL=0', 'ECDHE-RSA-AES128-GCM-SHA256', 'NULL', 'DES');
const upstreamTls = fc.record(
  {
    'backend-protocol': fc.constantFrom('HTTPS', 'GRPCS'),
    'proxy-ssl-secret': secretName,
    'proxy-ssl-verify': fc.constantFrom('on', 'off'),
    'proxy-ssl-ciphers': suites,
  },
  { requiredKeys: ['backend-protocol', 'proxy-ssl-secret'] },
);
const clientAuth = fc.record(
  {
    'auth-tls-secret': secretName,
    'auth-tls-match-cn': fc.constantFrom('CN=a', 'CN=(', 'CN=[[:alpha:]]+', 'CN=\\pL', 'CN=a{1,1000}'),
    'ssl-ciphers': suites,
  },
  { requiredKeys: ['auth-tls-secret'] },
);
const odd = fc.dictionary(fc.constantFrom(...Object.keys(registry)), text, { maxKeys: 5 });
const together = fc.tuple(fc.oneof(odd, upstreamTls), fc.oneof(odd, clientAuth));
const annotations = fc
  .oneof(
    odd,
    upstreamTls,
    clientAuth,
    together.map(([one, other]) => ({ ...one, ...other })),
  )
  .map((all) => Object.fromEntries(Object.entries(all).map(([name, value]) => [prefix + name, value])));

const host = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a.example.com', 'shop.example.com') },
  fc.constantFrom('*.example.com', undefined, 'x'.repeat(64), 'é.test'),
);
const service = fc.constantFrom('web', 'web', 'external', 'gone');
const backend = fc.record({ service: fc.record({ name: service, port: fc.constant({ number: 80 }) }) });
const ingress = fc.record({
  kind: fc.constant('Ingress'),
  metadata: fc.record({
    name: fc.constantFrom('one', 'two', 'three'),
    namespace: fc.constant(namespace),
    annotations,
  }),
  spec: fc.record({
    ingressClassName: fc.constant('sluice'),
    rules: fc.array(
      fc.record({
        host,
        http: fc.record({
          paths: fc.array(
            fc.record({
              path: fc.oneof(fc.constant('/'), text),
              pathType: fc.constantFrom('Exact', 'Prefix', 'ImplementationSpecific'),
              backend,
            }),
            { minLength: 1, maxLength: 2 },
          ),
        }),
      }),
      { minLength: 1, maxLength: 2 },
    ),
    tls: fc.array(
      fc.record({
        hosts: fc.array(fc.constantFrom('a.example.com', 'shop.example.com', '*.example.com'), { maxLength: 2 }),
        secretName: fc.constantFrom('s1', 's2'),
      }),
      { maxLength: 1 },
    ),
  }),
});
const serviceObject = fc.record({
  kind: fc.constant('Service'),
  metadata: fc.record({
    name: fc.constantFrom('web', 'external'),
    namespace: fc.constant(namespace),
    annotations: fc.oneof(fc.constant({}), annotations),
  }),
  spec: fc.record({
    type: fc.constantFrom('ClusterIP', 'ExternalName'),
    clusterIP: fc.constantFrom('10.96.0.1', 'None', 'x', ''),
    externalName: fc.oneof(fc.constantFrom('x.example.org', '127.0.0.1', '::1', 'x..y', '_a.b', '.'), text),
    sessionAffinity: fc.constantFrom('None', 'ClientIP'),
    ports: fc.constantFrom(
      [{ name: 'http', port: 80 }],
      [{ port: 80, appProtocol: 'https' }],
      [{ port: 80, targetPort: 'x' }],
    ),
  }),
});
const slice = fc.record({
  kind: fc.constant('EndpointSlice'),
  metadata: fc.constant({ name: 'web-1', namespace, labels: { 'kubernetes.io/service-name': 'web' } }),
  ports: fc.constantFrom([{ name: 'http', port: 8080 }], [{ port: 8080 }], [{}], []),
  endpoints: fc.array(
    fc.record({
      addresses: fc.tuple(fc.constantFrom('10.0.0.1', 'fd00::1', '10.0.0.01', '999.1.1.1', 'fe80::1%eth0', '')),
    }),
    { maxLength: 2 },
  ),
});

const pairs = ['shop', 'wildcard', 'expired', 'foreign', 'timeless', 'weak', 'commonname'];
const read = (file: string) => readFileSync(join(golden, 'certificates', file), 'utf8');
const made = await oddMaterial();
const certificates = [...pairs.map((name) => read(`${name}.crt`)), ...made.certificates];
const keys = [...pairs.map((name) => read(`${name}.key`)), ...made.keys];
const pem = fc.constantFrom(...certificates, ...keys, ...made.lists);
/** A line is gone, twice there or changed, or something stands in it. */
function damaged(whole: readonly string[]): fc.Arbitrary<string> {
  return fc.tuple(fc.constantFrom(...whole), pem, fc.nat(), fc.nat(4)).map(([one, other, place, how]) => {
    const lines = one.split('\n');
    const at = place % lines.length;
    const line = lines[at] as string;
    const put = [[], [line, line], [line.slice(1)], [line.toLowerCase()], [line, 'x', other]][how] ?? [];
    return lines.toSpliced(at, 1, ...put).join(how === 3 ? '\r\n' : '\n');
  });
}

const several = fc.array(pem, { minLength: 2, maxLength: 3 }).map((all) => all.join(''));
function material(usual: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...usual) }, damaged(usual), several, text);
}

const pair = fc
  .oneof(fc.nat(keys.length - 1), fc.constantFrom(0, 1, pairs.length))
  .map((index) => [certificates[index], keys[index]] as const);
const secret = fc.record({
  kind: fc.constant('Secret'),
  metadata: fc.record({ name: fc.constantFrom('s1', 's2'), namespace: fc.constant(namespace) }),
  data: fc
    .tuple(
      fc.oneof(
        { weight: 3, arbitrary: pair },
        fc.tuple(material(certificates), material(keys)),
        fc.constant([undefined, undefined] as const),
      ),
      fc.option(material(certificates), { nil: undefined }),
      fc.option(material(made.lists), { nil: undefined }),
    )
    .map(([[crt, key], ca, crl]) => {
      const data = { 'tls.crt': crt, 'tls.key': key, 'ca.crt': ca, 'ca.crl': crl };
      const held = Object.entries(data).filter(([, value]) => value !== undefined);
      return Object.fromEntries(held.map(([name, value]) => [name, Buffer.from(value as string).toString('base64')]));
    }),
});
const configMap = fc.record({
  kind: fc.constant('ConfigMap'),
  metadata: fc.constant({ name: 'gateway', namespace }),
  data: fc.dictionary(fc.constantFrom(...Object.keys(configKeys)), text, { maxKeys: 6 }),
});
const portsConfigMap = fc.record({
  kind: fc.constant('ConfigMap'),
  metadata: fc.record({ name: fc.constantFrom('tcp', 'udp'), namespace: fc.constant(namespace) }),
  data: fc.dictionary(
    fc.oneof(fc.constantFrom('53', '80', '443', '8080', '8443', '0', '65536', '-1'), text),
    fc.oneof(fc.constantFrom('demo/web:80', 'demo/web:http:PROXY:PROXY', 'demo/external:80', 'demo/web:0'), text),
    { maxKeys: 3 },
  ),
});
const step = fc.record({
  manifest: fc.oneof(
    { weight: 6, arbitrary: ingress },
    { weight: 2, arbitrary: serviceObject },
    { weight: 1, arbitrary: slice },
    { weight: 4, arbitrary: secret },
    { weight: 2, arbitrary: configMap },
    { weight: 1, arbitrary: portsConfigMap },
  ),
  isGone: fc.nat(5).map((n) => n === 0),
});
/** There from the beginning: most of what is asked of a backend that is not there comes to nothing. */
const web = { kind: 'Service', metadata: { name: 'web', namespace }, spec: { ports: [{ name: 'http', port: 80 }] } };
const batches = fc
  .tuple(secret, fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 5 }))
  .map(([first, all]) => [[web, first].map((manifest) => ({ manifest, isGone: false })), ...all]);
const optionChanges = fc.constantFrom(
  {},
  { configMap: 'demo/gateway', tcpServices: 'demo/tcp', udpServices: 'demo/udp', defaultBackendService: 'demo/web:80' },
  { configMap: 'demo/gateway', defaultCertificateSecret: 'demo/s1', allowsOtherNamespaces: true },
);

test('whatever objects hold, what is made of them is taken by the proxy', () => {
  let rows = 0;
  fc.assert(
    fc.property(batches, optionChanges, (changes, options) => {
      rows += check(changes, options);
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 300), seed: Number(process.env['FUZZ_SEED'] ?? 20261121) },
  );
  assert.ok(rows > 1_000, `only ${rows} rows were made`);
});

type Step = { manifest: object; isGone: boolean };

/** Sends every change as the controller does and takes it as proxy and worker do. @returns how many rows it was */
function check(changes: readonly (readonly Step[])[], options: Record<string, unknown>): number {
  const translator = new Translator(optionsOf(options));
  const objects = new Map<string, Parameters<typeof viewOf>[0][number]>();
  const reader = new BatchReader(tableContract);
  const table = emptyTable();
  const live = compiled();
  let count = 0;
  for (const batch of changes) {
    const changed = batch.flatMap(({ manifest, isGone }) => {
      const [object] = readObjects([manifest]).objects;
      if (object === undefined) return [];
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      if (isGone) objects.delete(`${object.kind} ${key}`);
      else objects.set(`${object.kind} ${key}`, object);
      return [{ kind: object.kind, key }];
    });
    const { upserts, deletes } = translator.apply(viewOf([...objects.values()]), changed, [], Date.now());
    const lines = [
      ...(count === 0 ? [snapshotLine] : []),
      ...upserts.map(({ kind, row }) => rowLine(kind, JSON.stringify(row))),
      ...deletes.map(deleteLine),
      commitLine(commit),
    ];
    count += upserts.length;
    const batches = lines.flatMap((line) => reader.push(line) ?? []);
    const [received] = batches;
    assert.ok(received !== undefined && batches.length === 1);
    assert.deepEqual(received.problems, []);
    const delta = deltaOf(table, received.batch);
    applyDelta(table, delta);
    assert.deepEqual(faultsOf(table, delta), []);
    live.apply(delta, commit.hash, 0);
  }
  return count;
}

const commit = { schemaVersion, generation: 1, hash: 'any', seen: {}, holds: {} };

/** What a worker makes of a table. */
function compiled(): Live {
  const selector = new Selector({
    zone: null,
    node: null,
    random: Math.random,
    memory: new LocalAffinity(),
    wallOriginMs: () => 0,
    onEject: () => undefined,
  });
  return new Live(selector, () => undefined);
}

/** Keys of all kinds, certificates for some of them, and lists of revoked ones. */
async function oddMaterial(): Promise<{ certificates: string[]; keys: string[]; lists: string[] }> {
  const root = await Authority.root();
  const other = await Authority.root('Other Root');
  const leaf = await root.issue({ names: ['shop.example.com'] });
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey;
  return {
    certificates: [leaf.cert, root.cert, other.cert, await root.namesake('secp256k1'), await root.namesake('P-384')],
    keys: [
      leaf.key,
      generateKeyPairSync('ed25519').privateKey.export(pkcs8).toString(),
      generateKeyPairSync('x25519').privateKey.export(pkcs8).toString(),
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export(pkcs8).toString(),
      generateKeyPairSync('rsa-pss', { modulusLength: 1_024 }).privateKey.export(pkcs8).toString(),
      ec.export({ type: 'sec1', format: 'pem' }).toString(),
      ec.export({ ...pkcs8, cipher: 'aes-128-cbc', passphrase: 'x' }).toString(),
      rsa.export({ type: 'pkcs1', format: 'pem' }).toString(),
    ],
    lists: [await root.revoke(leaf), await other.revoke(), (await root.revoke()) + (await other.revoke(leaf))],
  };
}
