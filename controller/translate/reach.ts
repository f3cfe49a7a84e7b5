import { isDeepStrictEqual } from 'node:util';
import type { TranslateOptions } from './options.ts';

/** Steps that an option takes part in. `ingresses`: all that an Ingress leads to. */
type Reach = 'listeners' | 'hosts' | 'ingresses';

const reachByOption: { readonly [K in keyof TranslateOptions]: Reach } = {
  ingressClass: 'ingresses',
  controllerName: 'ingresses',
  adoptedControllerNames: 'ingresses',
  servesClassless: 'ingresses',
  listeners: 'listeners',
  defaultCertificateId: 'listeners',
  defaultCertificateSecret: 'listeners',
  defaultBackendService: 'ingresses',
  configMap: 'ingresses',
  tcpServices: 'listeners',
  udpServices: 'listeners',
  usesProxyProtocol: 'listeners',
  proxyProtocol: 'listeners',
  flows: 'hosts',
  sources: 'hosts',
  closedBy: 'hosts',
  compression: 'listeners',
  tracing: 'listeners',
  http2: 'listeners',
  sslRedirect: 'hosts',
  forceSslRedirect: 'hosts',
  httpRedirectStatus: 'hosts',
  noTlsRedirectPrefixes: 'hosts',
  noAuthPrefixes: 'ingresses',
  allowsOtherNamespaces: 'ingresses',
  allowsLoopbackEndpoints: 'ingresses',
  usesClusterIp: 'ingresses',
  clients: 'listeners',
  keepAlive: 'ingresses',
  timeouts: 'hosts',
  bodyLimit: 'hosts',
  retry: 'hosts',
  repeatsUnsafe: 'hosts',
  balance: 'ingresses',
  outlier: 'ingresses',
  panicPercent: 'ingresses',
  circuit: 'ingresses',
};

/** What has to be made anew when options change; empty when none differs. */
export function reachOf(before: TranslateOptions, after: TranslateOptions): ReadonlySet<Reach> {
  const changed = (Object.keys(reachByOption) as (keyof TranslateOptions)[]).filter(
    (name) => !isDeepStrictEqual(before[name], after[name]),
  );
  const reach = new Set(changed.map((name) => reachByOption[name]));
  // Ingresses that ask for spans are told where these are sent nowhere.
  if ((before.tracing === null) !== (after.tracing === null)) reach.add('ingresses');
  return reach;
}
