import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

/** What every proxy is set up with, so that all do the same work: routing by host, X-Forwarded-*, a request id, keep-alive upstream. */
export interface Setting {
  folder: string;
  hosts: number;
  backendPort: number;
  httpPort: number;
  httpsPort: number;
  /** PEM files of a P-256 certificate. */
  certificate: string;
  key: string;
}

export interface Peer {
  name: string;
  /** Serves this many hosts whatever the row says. */
  hosts?: number;
  /** The command and arguments, or why the peer cannot run here. */
  command(setting: Setting): { argv: string[] } | { missing: string };
}

export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

const hostsOf = (setting: Setting) => Array.from({ length: setting.hosts }, (_, i) => `h${i}.bench`);

function write(setting: Setting, name: string, text: string): string {
  const path = join(setting.folder, name);
  mkdirSync(setting.folder, { recursive: true });
  writeFileSync(path, text);
  return path;
}

const nginxPaths = (folder: string) =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n');

/** The backend of all: nginx with fixed answers, because it costs least on the generator's core. */
export function backendConfig(folder: string, port: number): string {
  mkdirSync(folder, { recursive: true });
  const big = join(folder, 'big');
  writeFileSync(big, 'x'.repeat(65536));
  const path = join(folder, 'backend.conf');
  writeFileSync(
    path,
    `user root; daemon off; worker_processes 1; pid ${folder}/backend.pid; error_log ${folder}/backend.log crit;
events { worker_connections 16384; }
http { ${nginxPaths(folder)} access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; sendfile on; default_type text/plain;
  server { listen 127.0.0.1:${port} backlog=4096;
    location = /big { root ${folder}; }
    location / { return 200 "${'x'.repeat(1024)}"; } } }`,
  );
  return path;
}

const nginx: Peer = {
  name: 'nginx',
  command(setting) {
    if (!hasProgram('nginx')) return { missing: 'nginx is not installed (Debian package nginx-light)' };
    const config = write(
      setting,
      'nginx.conf',
      `daemon off; worker_processes 1; pid ${setting.folder}/nginx.pid; error_log ${setting.folder}/nginx.log crit;
events { worker_connections 16384; }
http { ${nginxPaths(setting.folder)} access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; server_tokens off; proxy_buffering off;
  server_names_hash_max_size 262144; server_names_hash_bucket_size 128;
  upstream backend { server 127.0.0.1:${setting.backendPort}; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${setting.httpPort} backlog=4096; listen 127.0.0.1:${setting.httpsPort} ssl backlog=4096;
    server_name ${hostsOf(setting).join(' ')};
    ssl_certificate ${setting.certificate}; ssl_certificate_key ${setting.key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Request-ID $request_id; } } }`,
    );
    return { argv: ['nginx', '-c', config, '-p', setting.folder] };
  },
};

const haproxy: Peer = {
  name: 'HAProxy',
  command(setting) {
    if (!hasProgram('haproxy')) return { missing: 'haproxy is not installed (Debian package haproxy)' };
    const pair = write(
      setting,
      'pair.pem',
      execFileSync('cat', [setting.certificate, setting.key], { encoding: 'utf8' }),
    );
    const map = write(
      setting,
      'hosts.map',
      hostsOf(setting)
        .map((host) => `${host} backend\n`)
        .join(''),
    );
    const config = write(
      setting,
      'haproxy.cfg',
      `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  http-reuse always
frontend main
  bind 127.0.0.1:${setting.httpPort} backlog 4096
  bind 127.0.0.1:${setting.httpsPort} backlog 4096 ssl crt ${pair} alpn http/1.1
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  use_backend %[req.hdr(host),lower,map(${map})]
backend backend
  server one 127.0.0.1:${setting.backendPort}
`,
    );
    return { argv: ['haproxy', '-f', config, '-db'] };
  },
};

const httpProxy3: Peer = {
  name: 'http-proxy-3',
  command(setting) {
    return { argv: [process.execPath, join(import.meta.dirname, 'httpproxy3.ts'), JSON.stringify(setting)] };
  },
};

const sluice: Peer = {
  name: 'Sluice',
  command(setting) {
    const manifests = join(setting.folder, 'manifests');
    mkdirSync(manifests, { recursive: true });
    const cert = execFileSync('base64', ['-w0', setting.certificate], { encoding: 'utf8' });
    const key = execFileSync('base64', ['-w0', setting.key], { encoding: 'utf8' });
    const documents = [
      'apiVersion: v1\nkind: Service\nmetadata: {name: backend, namespace: bench}\nspec: {ports: [{port: 80}]}',
      `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: backend-1, namespace: bench, labels: {kubernetes.io/service-name: backend}}\naddressType: IPv4\nports: [{name: "", port: ${setting.backendPort}}]\nendpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]`,
      `apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: bench}\ntype: kubernetes.io/tls\ndata: {tls.crt: ${cert}, tls.key: ${key}}`,
      ...hostsOf(setting).map(
        (host, i) =>
          `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: h${i}, namespace: bench, annotations: {nginx.ingress.kubernetes.io/ssl-redirect: "false"}}\nspec:\n  ingressClassName: sluice\n  tls: [{hosts: [${host}], secretName: tls}]\n  rules:\n  - host: ${host}\n    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: backend, port: {number: 80}}}}]}`,
      ),
    ];
    writeFileSync(join(manifests, 'all.yaml'), documents.join('\n---\n'));
    return {
      argv: [
        process.execPath,
        join(import.meta.dirname, '../../sluice.js'),
        ...['standalone', '--manifests', manifests, '--workers', '1', '--admin-port', '0'],
        ...['--http-port', String(setting.httpPort), '--https-port', String(setting.httpsPort)],
      ],
    };
  },
};

/** What more hosts cost is seen beside the same gateway with one. */
const sluiceAtOneHost: Peer = { ...sluice, name: 'Sluice, 1 host', hosts: 1 };

export const peers: readonly Peer[] = [nginx, haproxy, sluice, sluiceAtOneHost, httpProxy3];

export interface Running {
  name: string;
  pid: number;
  stop(): Promise<void>;
}

/** Starts a program on one core and waits until its port takes connections. */
export async function start(name: string, argv: readonly string[], core: string, port: number): Promise<Running> {
  const child = spawn('taskset', ['-c', core, ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const deadline = performance.now() + 60_000;
  while (!(await takesConnections(port))) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${complaint}`);
    if (performance.now() > deadline) throw new Error(`${name} does not listen: ${complaint}`);
  }
  return { name, pid: child.pid ?? 0, stop: () => ended(child) };
}

function ended(child: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (child.exitCode !== null) resolve();
  child.on('exit', () => resolve());
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), 5000).unref();
  return promise;
}

async function takesConnections(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('connect', () => resolve(true));
  socket.on('error', () => setTimeout(() => resolve(false), 50));
  const answer = await promise;
  socket.destroy();
  return answer;
}
