import { isIP } from 'node:net';
import { type PublishedAddress, sorted } from '../watch/ingressstatus.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView, ObjectKey } from '../watch/view.ts';

/** Where the addresses of Ingress status come from: the first of these that is given. */
export interface PublishFrom {
  /** `--publish-address`: IP addresses or host names, as they are. */
  addresses: readonly string[];
  /** `--publish-service`: a Service in front of the proxies. */
  service: ObjectKey | null;
}

/** The addresses at which the proxies are reached; without any setting, those of the nodes that connected proxies run on. */
export function publishedAddresses(from: PublishFrom, view: ClusterView, nodes: readonly string[]): PublishedAddress[] {
  if (from.addresses.length > 0) return sorted(from.addresses.map(addressOf));
  if (from.service === null) return sorted(nodes.flatMap((node) => nodeAddresses(view.get('Node', `/${node}`))));
  const service = view.get('Service', from.service);
  return service ? sorted(serviceAddresses(service)) : [];
}

/** By type of Service, as ingress-nginx does. */
function serviceAddresses({ spec, status }: ObjectOf<'Service'>): PublishedAddress[] {
  const external = spec.externalIPs.map(addressOf);
  if (spec.type === 'ExternalName') return spec.externalName ? [{ hostname: spec.externalName }] : [];
  if (spec.type === 'LoadBalancer') {
    const given = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) =>
      (ip ?? hostname) ? [addressOf(ip ?? hostname ?? '')] : [],
    );
    return [...given, ...external];
  }
  const inside = spec.clusterIP && spec.clusterIP !== 'None' ? [addressOf(spec.clusterIP)] : [];
  return spec.type === 'NodePort' && external.length > 0 ? external : [...inside, ...external];
}

function nodeAddresses(node: ObjectOf<'Node'> | undefined): PublishedAddress[] {
  const ofType = (type: string) => (node?.status.addresses ?? []).filter((address) => address.type === type);
  const external = ofType('ExternalIP');
  return (external.length > 0 ? external : ofType('InternalIP')).map(({ address }) => addressOf(address));
}

function addressOf(text: string): PublishedAddress {
  return isIP(text) ? { ip: text } : { hostname: text };
}
