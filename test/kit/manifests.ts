import { stringify } from 'yaml';
import type { CertificatePair } from './certificate.ts';

/** Kubernetes objects as tests write them: only what matters to the case. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  };
  [field: string]: unknown;
}

export interface IngressFacts {
  name: string;
  namespace?: string;
  host?: string;
  /** Path → Service name; pathType Prefix, or Exact for paths written as `=/path`. */
  paths: Record<string, string>;
  annotations?: Record<string, string>;
  /** Secret with the certificate of `host`. */
  tlsSecret?: string;
}

/** An Ingress of class sluice. Annotation names are written without the prefix. */
export function ingress(facts: IngressFacts): Manifest {
  const annotations = Object.entries(facts.annotations ?? {}).map(([name, value]) => [`sluice.dev/${name}`, value]);
  const paths = Object.entries(facts.paths).map(([path, service]) => ({
    path: path.replace(/^=/, ''),
    pathType: path.startsWith('=') ? 'Exact' : 'Prefix',
    backend: { service: { name: service, port: { number: 80 } } },
  }));
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: metadata(facts.name, facts.namespace, Object.fromEntries(annotations)),
    spec: {
      ingressClassName: 'sluice',
      rules: [{ ...(facts.host === undefined ? {} : { host: facts.host }), http: { paths } }],
      ...(facts.tlsSecret === undefined ? {} : { tls: [{ hosts: [facts.host], secretName: facts.tlsSecret }] }),
    },
  };
}

/** Everything that is asked of gw.test goes to one backend, the Service `recorder`. */
export function everythingTo(port: number): Manifest[] {
  return [
    ingressClass(),
    ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
    ...service('recorder', [port]),
  ];
}

export function ingressClass(): Manifest {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'IngressClass',
    metadata: { name: 'sluice', namespace: '' },
    spec: { controller: 'sluice.dev/ingress-controller' },
  };
}

/** A Service with port 80, and the slice of its endpoints (ready, on the given ports of 127.0.0.1). */
export function service(name: string, ports: readonly number[], namespace?: string): Manifest[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata(name, namespace),
      spec: { clusterIP: '10.0.0.1', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    },
    ...ports.map((port, index) => slice(name, index, port, namespace)),
  ];
}

export function tlsSecret(name: string, pair: CertificatePair, namespace?: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(name, namespace),
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': pair.cert, 'tls.key': pair.key },
  };
}

/** A Secret of texts, as ca.crt. */
export function opaqueSecret(name: string, texts: Record<string, string>, namespace?: string): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: metadata(name, namespace), type: 'Opaque', stringData: texts };
}

export function toYaml(manifests: readonly Manifest[]): string {
  return manifests.map((manifest) => stringify(manifest)).join('---\n');
}

/** One slice per endpoint, because the endpoints of a test differ in port and a slice has one set of ports. */
function slice(name: string, index: number, port: number, namespace?: string): Manifest {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata(`${name}-${index}`, namespace), labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true, serving: true, terminating: false } }],
  };
}

function metadata(name: string, namespace = 'default', annotations: Record<string, string> = {}): Manifest['metadata'] {
  return Object.keys(annotations).length === 0 ? { name, namespace } : { name, namespace, annotations };
}

/** A port from which datagrams go to port 5353 of an address, by the ConfigMap `sluice/udp`. */
export function udpManifests(port: number, address: string): Manifest[] {
  const [object, endpoints] = service('dns', [5353]) as [Manifest, Manifest];
  const ports = [{ name: 'udp', port: 53, protocol: 'UDP' }];
  return [
    ...everythingTo(1),
    { ...object, spec: { clusterIP: '10.0.0.1', ports } },
    {
      ...endpoints,
      ports: [{ name: 'udp', port: 5353, protocol: 'UDP' }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'udp', namespace: 'sluice' },
      data: { [port]: 'default/dns:53' },
    },
  ];
}
