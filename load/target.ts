import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';

/** A gateway under test and how to end it. */
export interface Target {
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts three backends and a standalone gateway in front of them. In the scenario `route-change` a route, the
 * endpoints and a redirect are rewritten all the time while the load runs.
 */
export async function startTarget(scenario: string): Promise<Target> {
  const backends = await Promise.all(['one', 'two', 'three'].map(startBackend));
  const folder = mkdtempSync(join(tmpdir(), 'sluice-load-'));
  const publish = (round: number) => {
    writeFileSync(join(folder, '.next'), manifests(backends.map(portOf), round));
    renameSync(join(folder, '.next'), join(folder, 'all.yaml'));
  };
  publish(0);
  const args = [join(import.meta.dirname, '../sluice.js'), 'standalone', '--manifests', folder];
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0'];
  const gateway = spawn(process.execPath, [...args, ...ports], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = '';
  gateway.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    const found = /http:\/\/(?:localhost|127\.0\.0\.1|\[::\]|0\.0\.0\.0):(\d+)/.exec(output);
    if (found) resolve(`http://127.0.0.1:${found[1]}`);
  });
  gateway.once('exit', (code) => reject(new Error(`the gateway ended with ${code} before it was ready`)));
  const url = await promise;
  let round = 0;
  const changes = scenario === 'route-change' ? setInterval(() => publish(++round), 100) : undefined;
  return {
    url,
    async stop() {
      clearInterval(changes);
      const ended = Promise.withResolvers<void>();
      gateway.removeAllListeners('exit');
      gateway.once('exit', () => ended.resolve());
      gateway.kill('SIGTERM');
      await ended.promise;
      for (const backend of backends) backend.close().closeAllConnections();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startBackend(name: string): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.setHeader('x-backend', name).end(`${name} ${request.url}\n`));
  });
  const echo = new WebSocketServer({ server });
  echo.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  server.keepAliveTimeout = 120_000;
  const { promise, resolve } = Promise.withResolvers<Server>();
  server.listen(0, '127.0.0.1', () => resolve(server));
  return promise;
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

/** Round after round: an extra route comes and goes, and one of the three endpoints leaves and returns. */
function manifests(ports: readonly number[], round: number): string {
  const live = ports.filter((_, i) => round === 0 || i !== round % (ports.length + 1));
  const slice = (port: number, i: number) =>
    `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: echo-${i}, namespace: load, labels: {kubernetes.io/service-name: echo}}\naddressType: IPv4\nports: [{name: "", port: ${port}}]\nendpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]`;
  const ingress = (name: string, path: string, annotations: string) =>
    `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: ${name}, namespace: load, annotations: {${annotations}}}\nspec:\n  ingressClassName: sluice\n  rules:\n  - http: {paths: [{path: ${path}, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}]}`;
  return [
    'apiVersion: v1\nkind: Service\nmetadata: {name: echo, namespace: load}\nspec: {ports: [{port: 80}]}',
    ...live.map(slice),
    ingress('all', '/', ''),
    ingress(
      'sticky',
      '/sticky',
      'nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/affinity-mode: persistent',
    ),
    ...(round % 2 === 1 ? [ingress('extra', `/extra${round}`, '')] : []),
  ].join('\n---\n');
}
