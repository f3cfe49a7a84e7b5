import { readFileSync } from 'node:fs';

const code = readFileSync(new URL('./backend.ts', import.meta.url), 'utf8');

/** Two pods that answer (backend.ts), their Services, and an Ingress for each protocol. */
export function backend(image: string, hosts: { web: string; grpc: string }): object[] {
  const labels = { app: 'echo' };
  const container = {
    name: 'echo',
    image,
    command: ['node', '/backend/backend.ts'],
    ports: [{ containerPort: 3000 }, { containerPort: 3001 }],
    // Without a share of its own it would starve among all others on a busy machine, and requests would fail by its fault.
    resources: { requests: { cpu: '100m' } },
    readinessProbe: { tcpSocket: { port: 3001 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'code', mountPath: '/backend' }],
  };
  const volume = { name: 'code', configMap: { name: 'backend' } };
  const pod = { terminationGracePeriodSeconds: 15, containers: [container], volumes: [volume] };
  const balanced = { topologyKey: 'kubernetes.io/hostname', maxSkew: 1, whenUnsatisfiable: 'ScheduleAnyway' };
  const spread = { topologySpreadConstraints: [{ ...balanced, labelSelector: { matchLabels: labels } }] };
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'backend' }, data: { 'backend.ts': code } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'echo' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { ...pod, ...spread } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'echo' },
      spec: {
        selector: labels,
        ports: [
          { name: 'web', port: 80, targetPort: 3000 },
          { name: 'grpc', port: 81, targetPort: 3001 },
        ],
      },
    },
    ingress('echo', hosts.web, 80, {}),
    ingress('calls', hosts.grpc, 81, {
      'sluice.dev/backend-protocol': 'GRPC',
      'sluice.dev/ssl-redirect': 'false',
    }),
  ];
}

/** To the backend's Service. */
export function ingress(name: string, host: string, port: number, annotations: Record<string, string>): object {
  const backend = { service: { name: 'echo', port: { number: port } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, annotations },
    spec: {
      ingressClassName: 'sluice',
      rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  };
}

/** A range of addresses, and that it is announced on layer 2. */
export function pool(name: string, range: string): object[] {
  return [
    { apiVersion: 'sluice.dev/v1', kind: 'AddressPool', metadata: { name }, spec: { addresses: [range] } },
    { apiVersion: 'sluice.dev/v1', kind: 'Announcement', metadata: { name }, spec: { pools: [name], l2: {} } },
  ];
}

/** Where the killer listens on its node: beside what clusters use. */
export const handPort = 30_999;

/**
 * Somebody on a node who, without the API server, kills all processes of a proxy's pod (`/kill?pod=`), so that the kubelet
 * starts its container again; and says whether a proxy is ready and answers (`/ready?at=`).
 */
export function killer(image: string, nodeName: string): object {
  const code = `
    const { readdirSync, readFileSync } = require('fs');
    const status = (url, host) => new Promise((done) => require('http').get(url, { headers: { host }, agent: false }, (a) => done(a.resume().statusCode)).on('error', () => done(0)));
    const of = (pod) => readdirSync('/proc').filter((pid) => {
      try { return readFileSync('/proc/' + pid + '/environ', 'latin1').split('\\0').includes('SLUICE_NAME=' + pod); } catch { return false; }
    });
    require('http').createServer(async (asked, answer) => {
      const { pathname, searchParams } = new URL(asked.url, 'http://here');
      if (pathname === '/kill') {
        const pids = of(searchParams.get('pod'));
        for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch {}
        answer.end('ended ' + pids.length);
      } else {
        const at = searchParams.get('at');
        answer.end(await status('http://' + at + ':10254/readyz', 'x') + ' ' + await status('http://' + at + ':8080/', 'echo.test'));
      }
    }).listen(${handPort});`;
  const container = {
    name: 'killer',
    image,
    command: ['node', '-e', code],
    securityContext: { privileged: true, runAsUser: 0 },
    readinessProbe: { tcpSocket: { port: handPort }, periodSeconds: 1 },
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'killer' },
    spec: { nodeName, hostNetwork: true, hostPID: true, terminationGracePeriodSeconds: 1, containers: [container] },
  };
}
