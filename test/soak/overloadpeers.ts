import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { childrenOf } from '../kit/procfs.ts';
import { Standalone } from '../kit/sluice.ts';
import { launched, type Peer, place } from './peer.ts';

export interface Application {
  readonly port: number;
  readonly places: number;
}

/**
 * A gateway with one worker, before an application that takes `places` requests at a time; or one that answers by itself.
 * @param application null: the gateway answers itself
 */
export const overloadPeers: Readonly<Record<string, (application: Application | null) => Promise<Peer>>> = {
  async Sluice(application) {
    const places = String(application?.places ?? 0);
    const sluice = await Standalone.start({
      manifests: [
        ingressClass(),
        ingress({
          name: 'all',
          host: 'gw.test',
          paths: { [application === null ? '/none' : '/']: 'application' },
          tlsSecret: 'cert',
          annotations: {
            'ssl-redirect': 'false',
            ...(application === null ? {} : { 'max-connections': places, 'max-pending-requests': places }),
          },
        }),
        ...service('application', [application?.port ?? 1]),
        tlsSecret('cert', await certificateFor(['gw.test'])),
      ],
    });
    const { httpPort, httpsPort } = sluice;
    return {
      name: 'Sluice',
      httpPort,
      httpsPort,
      pids: childrenOf(sluice.process.pid),
      stop: () => sluice.stop(),
    };
  },
  async HAProxy(application) {
    const at = await place(['gw.test']);
    const { folder, pem, httpPort, httpsPort } = at;
    const answer =
      application === null
        ? 'http-request return status 200 content-type text/plain string ok'
        : `default_backend application
backend application
  timeout queue 5ms
  server one 127.0.0.1:${application.port} maxconn ${application.places} maxqueue ${application.places}`;
    const file = join(folder, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  http-reuse always
frontend main
  bind 127.0.0.1:${httpPort} backlog 4096
  bind 127.0.0.1:${httpsPort} backlog 4096 ssl crt ${pem}
  ${answer}
`,
    );
    return launched('HAProxy', at, ['haproxy', '-f', file, '-db']);
  },
  async nginx(application) {
    const at = await place(['gw.test']);
    const { folder, pem, httpPort, httpsPort } = at;
    const [upstream, answer] =
      application === null
        ? ['', 'return 200 "ok";']
        : [
            `upstream application { zone application 64k; server 127.0.0.1:${application.port} max_conns=${application.places} max_fails=0; keepalive 64; }`,
            'proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection "";',
          ];
    const file = join(folder, 'nginx.conf');
    writeFileSync(
      file,
      `user root; daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/log crit;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; default_type text/plain; ${upstream}
  server { listen 127.0.0.1:${httpPort} backlog=4096; listen 127.0.0.1:${httpsPort} ssl backlog=4096;
    ssl_certificate ${pem}; ssl_certificate_key ${pem}; location / { ${answer} } } }`,
    );
    return launched('nginx', at, ['nginx', '-c', file, '-p', folder]);
  },
};
