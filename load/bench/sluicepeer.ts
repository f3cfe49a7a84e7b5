import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { hostsOf, pathsOf, type Setting, writeConfig } from './setting.ts';

/** `sluice standalone` of a checkout, on manifests for the setting. */
export function sluiceCommand(setting: Setting, checkout: string, args: readonly string[]): string[] {
  const manifests = join(setting.folder, 'manifests');
  const base64 = (file: string) => execFileSync('base64', ['-w0', file], { encoding: 'utf8' });
  const documents = [
    'apiVersion: v1\nkind: Service\nmetadata: {name: backend, namespace: bench}\nspec: {ports: [{port: 80}]}',
    `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: backend-1, namespace: bench, labels: {kubernetes.io/service-name: backend}}\naddressType: IPv4\nports: [{name: "", port: ${setting.backendPort}}]\nendpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]`,
    `apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: bench}\ntype: kubernetes.io/tls\ndata: {tls.crt: ${base64(setting.certificate)}, tls.key: ${base64(setting.key)}}`,
    ...hostsOf(setting).map((host, i) => ingress(setting, host, i)),
  ];
  writeConfig({ ...setting, folder: manifests }, 'all.yaml', documents.join('\n---\n'));
  return [
    process.execPath,
    join(checkout, 'sluice.js'),
    ...['standalone', '--manifests', manifests, '--admin-port', '0', ...args],
    ...['--http-port', String(setting.httpPort), '--https-port', String(setting.httpsPort)],
  ];
}

function ingress(setting: Setting, host: string, i: number): string {
  const rules = pathsOf(setting).map(
    (path) => `{path: ${path}, pathType: Prefix, backend: {service: {name: backend, port: {number: 80}}}}`,
  );
  const annotations = [
    'nginx.ingress.kubernetes.io/ssl-redirect: "false"',
    ...(setting.isGrpc ? ['nginx.ingress.kubernetes.io/backend-protocol: GRPC'] : []),
  ];
  return `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: h${i}, namespace: bench, annotations: {${annotations.join(', ')}}}\nspec:\n  ingressClassName: sluice\n  tls: [{hosts: [${host}], secretName: tls}]\n  rules:\n  - host: ${host}\n    http: {paths: [${rules.join(', ')}]}`;
}
