import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../kit/wait.ts';
import { hasPool, Installation, skipWithoutCluster } from './installation.ts';

const skip = skipWithoutCluster || (!hasPool && 'needs SLUICE_POOL: a range of addresses for the edge');
const nodePort = 30_280;

/** How Services answer, from a pod and from here, with kube-proxy beside the edge or without (`edge.services: all`). */
describe('the Services of a cluster with an edge', { skip, timeout: 900_000 }, () => {
  const sluice = new Installation();

  before(async () => {
    await sluice.addNamespace();
    await sluice.install();
    await sluice.addBackend();
    const node = { spec: { type: 'NodePort', externalTrafficPolicy: 'Cluster' }, port: { nodePort } };
    const balanced = { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge' };
    await sluice.apply(
      deployment(),
      service('plain', {}),
      service('sticky', { sessionAffinity: 'ClientIP' }),
      service('node', node.spec, node.port),
      service('everywhere', { ...balanced, externalTrafficPolicy: 'Cluster' }),
      service('here', { ...balanced, externalTrafficPolicy: 'Local' }),
      service('sticky-outside', { ...balanced, externalTrafficPolicy: 'Cluster', sessionAffinity: 'ClientIP' }),
    );
    await sluice.kubectl('rollout', 'status', 'deployment/who', '--timeout', '5m');
  });
  after(() => sluice.remove());

  test('a pod resolves names, and reaches the API server by its ClusterIP', async () => {
    const ask = `require('https').get({ host: 'kubernetes.default.svc', path: '/version', rejectUnauthorized: false }, (a) => { console.log(a.statusCode); process.exit(); })`;
    assert.match(await eventually(() => inPod(ask), 'an answer of the API server', 120_000), /^(200|401|403)$/);
  });

  test('a pod reaches every endpoint of a ClusterIP', async () => {
    assert.equal((await namesFromPod('plain')).size, 2);
  });

  test('a pod keeps its endpoint by sessionAffinity', async () => {
    assert.equal((await namesFromPod('sticky')).size, 1);
  });

  test('a node port of every node reaches every endpoint', async () => {
    const { items = [] } = await sluice.json('nodes');
    for (const { status } of items) {
      const address = status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
      assert.equal(namesOf(await answersOf(address, nodePort)).size, 2, address);
    }
  });

  test('externalTrafficPolicy Cluster reaches every endpoint', async () => {
    assert.equal(namesOf(await answersOf(await addressOf('everywhere'), 80)).size, 2);
  });

  test('externalTrafficPolicy Local reaches the endpoints of one node, which see who asks', async () => {
    const answers = await answersOf(await addressOf('here'), 80);
    assert.equal(new Set(answers.map(({ node }) => node)).size, 1);
    for (const { seen, mine } of answers) assert.equal(seen.replace('::ffff:', ''), mine);
  });

  test('a client outside keeps its endpoint by sessionAffinity', async () => {
    assert.equal(namesOf(await answersOf(await addressOf('sticky-outside'), 80)).size, 1);
  });

  async function addressOf(name: string): Promise<string> {
    const given = async () => (await sluice.json(`service/${name}`)).status?.loadBalancer?.ingress?.[0]?.ip;
    const address = (await eventually(given, `an address of ${name}`, 120_000)) ?? '';
    await eventually(() => ask(address, 80).catch(() => undefined), `an answer of ${name}`, 60_000);
    return address;
  }

  /** Which endpoints answer twenty connections of one pod. */
  async function namesFromPod(service: string): Promise<Set<string>> {
    const script = `(async () => { const names = new Set(); for (let i = 0; i < 20; i++) names.add(JSON.parse(await (await fetch('http://${service}', { headers: { connection: 'close' } })).text()).name); console.log([...names].join(' ')); })()`;
    const said = await eventually(() => inPod(script), `answers of ${service}`, 60_000);
    return new Set((said ?? '').split(' '));
  }

  /** What a script prints in one of the pods; undefined while it fails. */
  async function inPod(script: string): Promise<string | undefined> {
    const said = await sluice.kubectl('exec', 'deployment/who', '--', 'node', '-e', script).catch(() => '');
    return said.trim() || undefined;
  }
});

interface Answer {
  /** The pod that answered, and its node. */
  name: string;
  node: string;
  /** Address from which it was asked, as it sees that; and as we do. */
  seen: string;
  mine: string;
}

async function answersOf(address: string, port: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let i = 0; i < 20; i++) answers.push(await ask(address, port));
  return answers;
}

function namesOf(answers: readonly Answer[]): Set<string> {
  return new Set(answers.map(({ name }) => name));
}

/** Over a connection of its own. */
function ask(address: string, port: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, agent: false, timeout: 5_000 }, (answer) => {
      const mine = answer.socket.localAddress ?? '';
      const read: Buffer[] = [];
      answer.on('data', (bytes: Buffer) => read.push(bytes));
      answer.on('end', () => resolve({ ...JSON.parse(Buffer.concat(read).toString()), mine }));
    });
    asked.on('timeout', () => asked.destroy(new Error(`${address}:${port} says nothing`)));
    asked.on('error', reject);
    asked.end();
  });
}

/** Two on different nodes, if there are two, that tell their name and who asks. */
function deployment(): object {
  const labels = { app: 'who' };
  const code = `require('http').createServer((q, s) => s.end(JSON.stringify({ name: require('os').hostname(), node: process.env.NODE, seen: q.socket.remoteAddress }))).listen(3000)`;
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: labels },
  };
  const container = {
    name: 'who',
    image: process.env['SLUICE_IMAGE'] ?? 'sluice:dev',
    command: ['node', '-e', code],
    env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    readinessProbe: { httpGet: { path: '/', port: 3000 }, periodSeconds: 1 },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'who' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 1, topologySpreadConstraints: [spread], containers: [container] },
      },
    },
  };
}

function service(name: string, spec: object, port: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: 'who' }, ports: [{ port: 80, targetPort: 3000, ...port }], ...spec },
  };
}
