import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { certificateFor } from '../kit/certificate.ts';
import { certManagerKinds, integrations } from '../kit/integrations.ts';
import { freePorts } from '../kit/ports.ts';
import { RawClient, get as requestOf } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { eventually } from '../kit/wait.ts';
import { address, ClusterRig, ingress, type RunningProxy, service, skip as skipRig, slice } from './clusterrig.ts';

const programs = integrations();
const skip = skipRig || (programs === null && 'needs cert-manager and Pebble: npm run integrations builds them');

const Pods = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), labels: z.record(z.string(), z.string()) }),
      spec: z.object({ containers: z.array(z.object({ args: z.array(z.string()) })) }),
    }),
  ),
});
const Services = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      spec: z.object({ selector: z.record(z.string(), z.string()).optional() }),
    }),
  ),
});

/** The controllers of cert-manager, and Pebble as the authority, which asks for challenges at the port of a proxy. */
describe('cert-manager gets a certificate for an Ingress, and renews it', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;
  const children: ChildProcess[] = [];
  const solvers = new Map<string, Recorder>();
  let said = '';
  let isOver = false;
  let kubelet: Promise<void> = Promise.resolve();
  const proxy = () => rig.proxies[0] as RunningProxy;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['app'], controllers: 1, proxies: 1, workers: 1 });
    const files = readdirSync(certManagerKinds).filter((name) => name.endsWith('.yaml'));
    const kinds = files.flatMap((name) => parseAllDocuments(readFileSync(join(certManagerKinds, name), 'utf8')));
    await rig.api.apply(...kinds.map((kind) => kind.toJS() as Manifest));
    const directory = await startAuthority();
    start(programs?.certmanager ?? '', ['--kubeconfig', await rig.api.kubeconfig()], {
      // Its self-check asks for http://shop.test/…, which no name server here knows: the proxy does.
      HTTP_PROXY: `http://127.0.0.1:${proxy().http}`,
    });
    kubelet = runSolvers();
    await eventually(async () => {
      const found = await rig.api.call('GET', '/apis/cert-manager.io/v1/namespaces/default/issuers');
      return found.status === 200 || undefined;
    }, 'the kinds of cert-manager');
    await rig.api.apply(
      ...[service('web'), slice('web', rig.portOf(0))],
      {
        apiVersion: 'cert-manager.io/v1',
        kind: 'Issuer',
        metadata: { name: 'pebble' },
        spec: {
          acme: {
            server: directory,
            skipTLSVerify: true,
            privateKeySecretRef: { name: 'pebble-account' },
            solvers: [{ http01: { ingress: { ingressClassName: 'sluice' } } }],
          },
        },
      },
      ingress('shop', 'shop.test', 'web', { 'cert-manager.io/issuer': 'pebble' }, [
        { hosts: ['shop.test'], secretName: 'shop-tls' },
      ]),
    );
  });

  after(async () => {
    isOver = true;
    await kubelet;
    for (const child of children) child.kill('SIGKILL');
    for (const solver of solvers.values()) await solver.stop();
    await rig?.stop();
  });

  function start(program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): void {
    const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => {
        said = (said + bytes.toString()).slice(-20_000);
      });
    }
    children.push(child);
  }

  /** Pebble, with a name server that knows every name as this machine. */
  async function startAuthority(): Promise<string> {
    const [listen = 0, management = 0, names = 0, control = 0, unused = 0] = await freePorts(5);
    const pair = await certificateFor(['localhost']);
    writeFileSync(rig.file('pebble.crt'), pair.cert);
    writeFileSync(rig.file('pebble.key'), pair.key);
    const pebble = {
      listenAddress: `127.0.0.1:${listen}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: rig.file('pebble.crt'),
      privateKey: rig.file('pebble.key'),
      httpPort: proxy().http,
      tlsPort: unused,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
    };
    writeFileSync(rig.file('pebble.json'), JSON.stringify({ pebble }));
    const off = ['http01', 'https01', 'tlsalpn01', 'doh'].flatMap((name) => [`-${name}`, '']);
    start(programs?.challtestsrv ?? '', [
      ...['-dnsserver', `127.0.0.1:${names}`, '-management', `127.0.0.1:${control}`, '-defaultIPv6', '', ...off],
    ]);
    start(programs?.pebble ?? '', ['-config', rig.file('pebble.json'), '-dnsserver', `127.0.0.1:${names}`], {
      PEBBLE_VA_NOSLEEP: '1',
    });
    return `https://localhost:${listen}/dir`;
  }

  /** Stands in for kubelet and endpoint controller: for each pod of a solver, a server that does what its arguments say. */
  async function runSolvers(): Promise<void> {
    while (!isOver) {
      await eventually(async () => {
        if (isOver) return true;
        const pods = Pods.parse((await rig.api.call('GET', '/api/v1/namespaces/default/pods')).body).items;
        const fresh = pods.filter(({ metadata }) => !solvers.has(metadata.name));
        for (const pod of fresh) await runSolver(pod);
        return fresh.length > 0 || undefined;
      }, 'a pod of a solver').catch(() => undefined);
    }
  }

  async function runSolver({ metadata, spec }: z.infer<typeof Pods>['items'][0]): Promise<void> {
    const named = (name: string) =>
      spec.containers[0]?.args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? '';
    const all = Services.parse((await rig.api.call('GET', '/api/v1/namespaces/default/services')).body).items;
    const found = all.find(({ spec: { selector = {} } }) => {
      const wanted = Object.entries(selector);
      return wanted.length > 0 && wanted.every(([label, value]) => metadata.labels[label] === value);
    });
    // The Service comes after the pod: next time.
    if (found === undefined) return;
    const [token, key] = [named('token'), named('key')];
    const solver = await Recorder.start({
      address,
      onRequest: (asked) => answer(asked, asked.target.endsWith(`/${token}`) ? key : 'not this token'),
    });
    solvers.set(metadata.name, solver);
    await rig.api.apply(slice(found.metadata.name, solver.port));
  }

  /** Serial and issuer of the certificate that a client is shown. */
  async function shown(): Promise<{ serial: string; issuer: string }> {
    const socket = connect({
      port: proxy().https,
      host: '127.0.0.1',
      servername: 'shop.test',
      rejectUnauthorized: false,
    });
    try {
      return await new Promise((resolve, reject) => {
        socket.once('error', reject);
        socket.once('secureConnect', () => {
          const { serialNumber, issuer } = socket.getPeerCertificate();
          resolve({ serial: serialNumber, issuer: String(issuer['CN']) });
        });
      });
    } finally {
      socket.destroy();
    }
  }

  async function issuedBesides(serial: string): Promise<string> {
    return await eventually(
      async () => {
        const now = await shown();
        return now.issuer.startsWith('Pebble') && now.serial !== serial ? now.serial : undefined;
      },
      `a certificate of Pebble: ${said.slice(-3_000)}`,
      240_000,
    );
  }

  let first = '';

  test('the certificate comes while the host redirects to https, and is shown', async () => {
    first = await issuedBesides('');
  });

  test('the solver is taken away, and the application answers again', async () => {
    const isGone = async () => {
      const { body } = await rig.api.call('GET', '/apis/networking.k8s.io/v1/namespaces/default/ingresses');
      return !JSON.stringify(body).includes('cm-acme-http-solver') || undefined;
    };
    await eventually(isGone, 'the solver to go');
  });

  test('it is renewed in place, and a connection of before goes on', async () => {
    const client = await RawClient.open({ port: proxy().https, tls: { servername: 'shop.test' } });
    client.send(requestOf('/', 'shop.test'));
    assert.equal((await client.response(0)).status, 200);
    // As cmctl renew does it.
    const certificate = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', metadata: { name: 'shop-tls' } };
    const { body } = await rig.api.call('GET', pathOf(certificate));
    const { conditions } = z.object({ conditions: z.array(z.looseObject({ type: z.string() })) }).parse(body['status']);
    const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const issuing = {
      type: 'Issuing',
      status: 'True',
      reason: 'ManuallyTriggered',
      message: 'renewed',
      lastTransitionTime,
    };
    await rig.api.call('PATCH', `${pathOf(certificate)}/status`, { status: { conditions: [...conditions, issuing] } });
    await issuedBesides(first);
    client.send(requestOf('/', 'shop.test'));
    assert.equal((await client.response(1)).status, 200);
    client.destroy();
  });
});
