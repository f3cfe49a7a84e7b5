import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostsOf, pathsOf, type Setting, writeConfig } from './setting.ts';

const tempPaths = (folder: string) =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n');

/**
 * The backend of all: nginx with fixed answers, because it costs least on the generator's core. /connections answers with how
 * many it has been sent so far.
 */
export function backendConfig(folder: string, port: number): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, '64k'), 'x'.repeat(65_536));
  writeFileSync(join(folder, '1m'), 'x'.repeat(1_048_576));
  const path = join(folder, 'backend.conf');
  writeFileSync(
    path,
    `user root; daemon off; worker_processes 1; pid ${folder}/backend.pid; error_log ${folder}/backend.log crit;
events { worker_connections 32768; }
http { ${tempPaths(folder)} access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; sendfile on; default_type text/plain;
  client_body_buffer_size 64k;
  server { listen 127.0.0.1:${port} backlog=4096;
    location = /64k { root ${folder}; }
    location = /1m { root ${folder}; }
    location = /connections { return 200 "$connection"; }
    location / { return 200 "${'x'.repeat(1024)}"; } } }`,
  );
  return path;
}

export function nginxCommand(setting: Setting): string[] {
  const pass = setting.isGrpc ? 'grpc_pass grpc://backend;' : 'proxy_pass http://backend;';
  const headers = setting.isGrpc
    ? 'grpc_set_header Host $http_host;'
    : `proxy_http_version 1.1; proxy_set_header Connection $connection_header; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $http_host;`;
  const set = setting.isGrpc ? 'grpc_set_header' : 'proxy_set_header';
  const locations = pathsOf(setting).map((path) => `location ${path} { ${pass} }`);
  const listen = `listen 127.0.0.1:${setting.httpPort} backlog=4096;`;
  const listenAgain = `listen 127.0.0.1:${setting.httpPort};`;
  const hosts = hostsOf(setting);
  // Paths of their own are only asked for in the clear.
  const servers =
    locations.length > 1
      ? hosts.map(
          (host, i) => `server { ${i === 0 ? listen : listenAgain} server_name ${host}; ${locations.join('\n')} }`,
        )
      : [
          `server { ${listen} listen 127.0.0.1:${setting.httpsPort} ssl http2 backlog=4096;
    server_name ${hosts.join(' ')}; http2_max_requests 1000000000;
    ssl_certificate ${setting.certificate}; ssl_certificate_key ${setting.key}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m; ${locations.join('')} }`,
        ];
  const config = writeConfig(
    setting,
    'nginx.conf',
    `daemon off; worker_processes 1; pid ${setting.folder}/nginx.pid; error_log ${setting.folder}/nginx.log crit;
events { worker_connections 32768; }
http { ${tempPaths(setting.folder)} access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; server_tokens off; proxy_buffering off;
  proxy_request_buffering off; client_body_buffer_size 64k; proxy_read_timeout 300s;
  server_names_hash_max_size 262144; server_names_hash_bucket_size 128;
  map $http_upgrade $connection_header { default upgrade; '' ''; }
  upstream backend { server 127.0.0.1:${setting.backendPort}; keepalive 256; keepalive_requests 1000000000; }
  ${headers} ${set} X-Real-IP $remote_addr; ${set} X-Forwarded-For $remote_addr; ${set} X-Forwarded-Proto $scheme;
  ${set} X-Forwarded-Host $http_host; ${set} X-Forwarded-Port $server_port; ${set} X-Request-ID $request_id;
  ${servers.join('\n')} }`,
  );
  return ['nginx', '-c', config, '-p', setting.folder];
}
