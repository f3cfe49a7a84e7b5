import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAttacked } from '../kit/attacked.ts';
import { childrenOf } from '../kit/procfs.ts';
import { launched, type Peer, place } from './peer.ts';

/** Ports of the backends: of the attackers, who ask gw.test, and of the honest clients, who ask h0.bench. */
export interface Backends {
  readonly attacked: number;
  readonly honest: number;
}

/**
 * Gateways that are attacked, with their defaults where nothing is said: in time, buffers and what clients may do. Both ports take
 * HTTP/1.1, the one with TLS HTTP/2, too.
 */
export const attackedPeers: Readonly<Record<string, (backends: Backends) => Promise<Peer>>> = {
  async Sluice({ attacked, honest }) {
    const sluice = await startAttacked({ 'gw.test': attacked, 'h0.bench': honest });
    const { httpPort, httpsPort, process: primary } = sluice;
    const pids = [...childrenOf(primary.pid), primary.pid];
    return { name: 'Sluice', httpPort, httpsPort, pids, stop: () => sluice.stop() };
  },
  async HAProxy({ attacked, honest }) {
    const at = await place(['gw.test', 'h0.bench']);
    const file = join(at.folder, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 9500
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  timeout http-request 10s
  http-reuse always
frontend main
  bind 127.0.0.1:${at.httpPort} backlog 4096
  bind 127.0.0.1:${at.httpsPort} backlog 4096 ssl crt ${at.pem} alpn h2,http/1.1
  option forwardfor
  use_backend attacked if { req.hdr(host) -i gw.test }
  default_backend honest
backend attacked
  server one 127.0.0.1:${attacked}
backend honest
  server one 127.0.0.1:${honest}
`,
    );
    return launched('HAProxy', at, ['haproxy', '-f', file, '-db']);
  },
  async nginx({ attacked, honest }) {
    const at = await place(['gw.test', 'h0.bench']);
    const { folder, pem, httpPort, httpsPort } = at;
    const file = join(folder, 'nginx.conf');
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${folder}/${kind};`,
    );
    writeFileSync(
      file,
      `user root; daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/log crit;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; ${temp.join(' ')} proxy_http_version 1.1;
  proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
  map $host $backend { gw.test attacked; default honest; }
  upstream attacked { server 127.0.0.1:${attacked}; keepalive 64; }
  upstream honest { server 127.0.0.1:${honest}; keepalive 64; }
  server {
    listen 127.0.0.1:${httpPort} backlog=4096; listen 127.0.0.1:${httpsPort} ssl http2 backlog=4096;
    ssl_certificate ${pem}; ssl_certificate_key ${pem}; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;
    location / { proxy_pass http://$backend; } } }`,
    );
    return launched('nginx', at, ['nginx', '-c', file, '-p', folder]);
  },
};
