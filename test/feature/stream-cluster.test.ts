import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { request } from 'undici';
import { z } from 'zod';
import { type ApiServer, type Manifest, startApiServer } from '../kit/apiserver.ts';
import { Load } from '../kit/load.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

/** An API server takes no loopback addresses as endpoints, so backends listen on an address of this machine. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((found) => found?.family === 'IPv4' && !found.internal)?.address;

const skip =
  address === undefined
    ? 'this machine has no address but loopback, and an API server takes no other endpoints'
    : false;

describe('controllers and proxies on a real API server', { skip }, () => {
  let api: ApiServer;
  let folder: string;
  const backends: Recorder[] = [];
  const processes: SluiceProcess[] = [];
  let controllers: { process: SluiceProcess; publish: number; admin: number }[];
  let proxies: { process: SluiceProcess; http: number; admin: number }[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-'));
    api = await startApiServer();
    for (const name of ['one', 'two']) {
      backends.push(await Recorder.start({ address: address ?? '', onRequest: (request) => answer(request, name) }));
    }
    await api.apply(
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'IngressClass',
        metadata: { name: 'sluice' },
        spec: { controller: 'sluice.dev/ingress-controller' },
      },
      service('web'),
      slice('web', portOf(0)),
      ingress('web', 'web.test', 'web'),
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'sluice-proxy' } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'intruder' } },
    );
    controllers = await Promise.all([startController(), startController()]);
    await keepToken('sluice-proxy');
    await keepToken('intruder');
    const { body } = await api.call('GET', '/api/v1/namespaces/default/secrets/sluice-authority');
    const data = z.record(z.string(), z.string()).parse(body['data']);
    await writeFile(join(folder, 'ca.crt'), Buffer.from(data['ca.crt'] ?? '', 'base64'));
    proxies = await Promise.all([startProxy('proxy-1'), startProxy('proxy-2')]);
  });

  after(async () => {
    for (const process of processes) await process.stop();
    for (const backend of backends) await backend.stop();
    await api?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const portOf = (index: number) => backends[index]?.port ?? 0;
  const file = (name: string) => join(folder, name);

  async function startController() {
    const process = start([
      'controller',
      ...['--kubeconfig', await api.kubeconfig(), '--proxy-service-account', 'default/sluice-proxy'],
      ...[
        '--publish-bind-address',
        '127.0.0.1',
        '--publish-port',
        '0',
        '--admin-address',
        '127.0.0.1',
        '--admin-port',
        '0',
      ],
      ...['--publish-address', '192.0.2.80'],
    ]);
    const ports = await listening(process, z.object({ publish: z.number(), admin: z.number() }));
    return { process, ...ports };
  }

  async function startProxy(name: string, token = 'sluice-proxy') {
    const process = startProxyProcess(name, token);
    const { ports, admin } = await listening(
      process,
      z.object({ ports: z.record(z.string(), z.number()), admin: z.number() }),
    );
    return { process, http: ports['http'] ?? 0, admin };
  }

  function startProxyProcess(name: string, token: string): SluiceProcess {
    return start([
      'proxy',
      ...controllers.flatMap(({ publish }) => ['--controller', `https://localhost:${publish}`]),
      ...[
        '--controller-ca',
        file('ca.crt'),
        '--token-file',
        file(`${token}.token`),
        '--name',
        name,
        '--state-dir',
        file(name),
      ],
      ...[
        '--http-port',
        '0',
        '--https-port',
        '0',
        '--admin-address',
        '127.0.0.1',
        '--admin-port',
        '0',
        '--workers',
        '1',
      ],
    ]);
  }

  function start(args: readonly string[]): SluiceProcess {
    const process = new SluiceProcess(args);
    processes.push(process);
    return process;
  }

  async function keepToken(name: string): Promise<void> {
    const spec = { audiences: ['sluice'], expirationSeconds: 3_600 };
    const path = `/api/v1/namespaces/default/serviceaccounts/${name}/token`;
    const { body } = await api.call('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec,
    });
    await writeFile(file(`${name}.token`), z.object({ token: z.string() }).parse(body['status']).token);
  }

  /** Every proxy answers this. */
  const allAnswer = (host: string, status: number, text?: string) =>
    eventually(
      async () => {
        const replies = await Promise.all(proxies.map(({ http }) => get(http, host)));
        return (
          replies.every((reply) => reply.status === status && (text === undefined || reply.text === text)) || undefined
        );
      },
      `all proxies to answer ${status} ${text ?? ''} for ${host}`,
    );

  test('traffic flows, and controllers that never spoke to each other have the same table', async () => {
    await allAnswer('web.test', 200, 'one');
    const hashes = await Promise.all(proxies.map(async ({ admin }) => JSON.parse(await page(admin, '/tables')).hash));
    assert.equal(new Set(hashes).size, 1);
    const States = z.array(z.object({ name: z.string(), connected: z.string(), appliedHash: z.string().nullable() }));
    for (const { admin } of controllers) {
      await eventually(async () => {
        const states = States.parse(JSON.parse(await page(admin, '/proxies')));
        return (states.length === 2 && states.every(({ appliedHash }) => appliedHash === hashes[0])) || undefined;
      }, 'each controller to know of both proxies');
    }
  });

  test('the status says where, once all proxies serve', async () => {
    await eventually(async () => {
      const { body } = await api.call('GET', '/apis/networking.k8s.io/v1/namespaces/default/ingresses/web');
      return /192\.0\.2\.80/.test(JSON.stringify(body['status'])) || undefined;
    }, 'the status of the Ingress');
  });

  test('changes of routes and endpoints under load: nothing fails', { timeout: 120_000 }, async () => {
    const loads = proxies.map(({ http }) =>
      Load.start({ port: http, host: 'web.test', connections: 4, requestsPerSecond: 100 }),
    );
    for (let round = 0; round < 20; round++) {
      await api.apply(slice('web', portOf(round % 2)), service(`s${round}`), slice(`s${round}`, portOf(0)));
      await api.apply(ingress(`i${round}`, `i${round}.test`, `s${round}`));
    }
    await allAnswer('i19.test', 200, 'one');
    await allAnswer('web.test', 200, 'two');
    for (let round = 0; round < 20; round++) await api.delete(ingress(`i${round}`, `i${round}.test`, `s${round}`));
    await allAnswer('i19.test', 404);
    for (const load of loads) {
      const { failures, answered } = await load.stop();
      assert.deepEqual(failures, []);
      assert.ok(answered > 0);
    }
  });

  test('a token of another service account opens nothing', async () => {
    const process = startProxyProcess('intruder', 'intruder');
    await process.printed(/the controller answered 401/);
    await process.stop();
  });

  test('one controller dies: its proxies follow the other', async () => {
    const [first] = controllers;
    first?.process.signal('SIGKILL');
    await first?.process.ended();
    await api.apply(service('late'), slice('late', portOf(1)), ingress('late', 'late.test', 'late'));
    await allAnswer('late.test', 200, 'two');
  });

  test('no controller and no API server: traffic goes on, and a proxy that restarts serves its last good tables', async () => {
    await api.stopApi();
    for (const { process } of controllers) await process.stop();
    await allAnswer('late.test', 200, 'two');
    await proxies[1]?.process.stop();
    proxies[1] = await startProxy('proxy-2');
    await allAnswer('late.test', 200, 'two');
    await allAnswer('web.test', 200, 'two');
  });
});

/** Values of the log line that says that a process listens. */
async function listening<T>(process: SluiceProcess, schema: z.ZodType<T>): Promise<T> {
  const [line] = await process.printed(/^\{.*"msg":"listening".*$/m);
  return schema.parse(JSON.parse(line));
}

async function page(port: number, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

async function get(port: number, host: string): Promise<{ status: number; text: string }> {
  const response = await request(`http://127.0.0.1:${port}/`, { headers: { host } });
  return { status: response.statusCode, text: await response.body.text() };
}

function service(name: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  };
}

function slice(name: string, port: number): Manifest {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
}

function ingress(name: string, host: string, backend: string): Manifest {
  const path = { path: '/', pathType: 'Prefix', backend: { service: { name: backend, port: { number: 80 } } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name },
    spec: { ingressClassName: 'sluice', rules: [{ host, http: { paths: [path] } }] },
  };
}
