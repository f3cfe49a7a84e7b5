import { execFileSync } from 'node:child_process';
import { mostFiles } from './files.ts';
import { hostsOf, pathsOf, type Setting, writeConfig } from './setting.ts';

/** It asks for two descriptors for each, and does not start without. */
const mostConnections = Math.min(11_000, Math.floor(mostFiles / 2) - 500);

export function haproxyCommand(setting: Setting): string[] {
  const pem = execFileSync('cat', [setting.certificate, setting.key], { encoding: 'utf8' });
  const pair = writeConfig(setting, 'pair.pem', pem);
  const isByPath = setting.pathsPerHost > 1;
  const keys = hostsOf(setting).flatMap((host) => (isByPath ? pathsOf(setting).map((path) => host + path) : [host]));
  const lines = keys.map((key) => `${key} backend\n`);
  const map = writeConfig(setting, 'hosts.map', lines.join(''));
  const config = writeConfig(
    setting,
    'haproxy.cfg',
    `global
  nbthread 1
  maxconn ${mostConnections}
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  timeout tunnel 300s
  http-reuse always
frontend main
  bind 127.0.0.1:${setting.httpPort} backlog 4096
  bind 127.0.0.1:${setting.httpsPort} backlog 4096 ssl crt ${pair} alpn h2,http/1.1
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  use_backend %[${isByPath ? `base,map_beg(${map})` : `req.hdr(host),lower,map(${map})`}]
backend backend
  server one 127.0.0.1:${setting.backendPort}${setting.isGrpc ? ' proto h2' : ''}
`,
  );
  return ['haproxy', '-f', config, '-db'];
}
