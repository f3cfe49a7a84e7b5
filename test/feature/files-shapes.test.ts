import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readManifests } from '../../controller/watch/manifests.ts';

const meta = {
  name: 'a',
  namespace: 'shop',
  uid: 'u',
  creationTimestamp: '2026-01-01T00:00:00Z',
  annotations: { 'sluice.dev/affinity': 'cookie' },
  labels: { 'kubernetes.io/service-name': 'a' },
};
const backend = { service: { name: 'a', port: { number: 80 } } };
const objects: object[] = [
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: meta,
    spec: {
      ingressClassName: 'sluice',
      defaultBackend: { resource: { apiGroup: 'g', kind: 'K', name: 'n' } },
      tls: [{ hosts: ['a.example'], secretName: 's' }],
      rules: [{ host: 'a.example', http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta,
    spec: {
      type: 'ClusterIP',
      clusterIP: '10.0.0.1',
      clusterIPs: ['10.0.0.1'],
      externalIPs: ['192.0.2.1'],
      ports: [{ name: 'http', port: 80, targetPort: 'web', protocol: 'TCP', appProtocol: 'http' }],
      publishNotReadyAddresses: true,
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      trafficDistribution: 'PreferClose',
    },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', hostname: 'h' }] } },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: meta,
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    endpoints: [
      {
        addresses: ['10.0.0.2'],
        conditions: { ready: true, serving: true, terminating: false },
        zone: 'z',
        nodeName: 'n',
        targetRef: { uid: 'u' },
        hints: { forZones: [{ name: 'z' }] },
      },
    ],
  },
  { apiVersion: 'v1', kind: 'Secret', metadata: meta, type: 'Opaque', data: { a: 'YQ==' }, stringData: { b: 'b' } },
  {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: meta,
    subsets: [{ addresses: [{ ip: '10.0.0.2' }], ports: [{ port: 80 }] }],
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: meta,
    status: { addresses: [{ type: 'InternalIP', address: '10.0.0.3' }] },
  },
];

const wrong: unknown[] = [null, 7, -1.5, true, '', 'text', [], [null], [[]], {}, { a: { b: 1 } }];

/** The object once for each of its fields, at any depth, and each wrong value in it. */
function* mutations(value: unknown, rebuild: (inner: unknown) => unknown): Generator<unknown> {
  for (const other of wrong) yield rebuild(other);
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      yield* mutations(item, (inner) => rebuild(value.toSpliced(index, 1, inner)));
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      yield* mutations(item, (inner) => rebuild({ ...value, [name]: inner }));
    }
  }
}

test('every wrong type in every field is read, or is a problem, and hurts no neighbour', () => {
  const neighbour = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'neighbour' } };
  let count = 0;
  let refused = 0;
  for (const object of objects) {
    assert.equal(readManifests(JSON.stringify(object), 'good.json').objects.length, 1);
    for (const mutated of mutations(object, (inner) => inner)) {
      const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [mutated, neighbour] });
      const { objects: found, problems, syntax } = readManifests(text, 'bad.json');
      assert.equal(syntax, null, text);
      assert.equal(found.length + problems.length, 2, text);
      assert.equal(found.at(-1)?.metadata.name, 'neighbour', text);
      for (const { message } of problems) assert.match(message, /^bad\.json: ./);
      refused += problems.length;
      count++;
    }
  }
  assert.ok(count > 1000 && refused > count / 2, `${refused} of ${count} refused`);
});

test('what is wrong with an object is said in words for people who write manifests', () => {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } };
  const cases: [object: object, message: string][] = [
    [{ ...secret, metadata: {} }, 'metadata.name: is missing'],
    [{ ...secret, data: 'TOP SECRET' }, 'data: must be a map, not text'],
    [{ ...secret, data: { key: ['TOP SECRET'] } }, 'data.key: must be text, not a list'],
    [{ ...secret, stringData: ['TOP SECRET'] }, 'stringData: must be a map'],
    [{ ...secret, stringData: 'TOP SECRET' }, 'stringData: must be a map'],
    [{ ...secret, stringData: { key: 7 } }, 'data.key: must be text, not a number'],
    [{ ...secret, apiVersion: { toString: 'v1' } }, 'apiVersion: must be v1, not a map'],
    [{ ...secret, apiVersion: [[{ toString: 'v1' }]] }, 'apiVersion: must be v1, not a list'],
    [{ kind: 'Pod', apiVersion: { toString: 'v1' } }, 'objects of kind Pod and apiVersion a map are not read'],
  ];
  for (const [object, message] of cases) {
    const { problems } = readManifests(JSON.stringify(object), 'a.json');
    assert.deepEqual(
      problems.map((problem) => problem.message),
      [`a.json: ${message}`],
    );
  }
});
