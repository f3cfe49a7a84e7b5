import { choice, group, port, text, texts, toggle } from './field.ts';
import { image, logLevel, workload } from './workload.ts';

export const edge = group('the agent of each node: addresses for Services of type LoadBalancer, without a cloud', {
  enabled: toggle(false, 'run it; AddressPools and Announcements (docs/kinds.md) say which addresses there are'),
  image: image('sluice/sluice-edge', 'its image, which has the programs that it starts'),
  services: choice(
    ['loadbalancer', 'nodeport', 'all'],
    'loadbalancer',
    'what it serves: load balancers (beside kube-proxy), node ports, too, or all (instead of kube-proxy)',
  ),
  loadBalancerClass: text('sluice.dev/edge', '`spec.loadBalancerClass` of the Services that get addresses'),
  watchServiceWithoutClass: toggle(false, 'give addresses to Services of type LoadBalancer that name no class, too'),
  controllers: texts(
    'https://ADDRESS:PORT of controllers, instead of the name of their Service; needed where there is no kube-proxy, since names are not resolved before the edge serves them',
  ),
  logLevel: logLevel(),
  adminPort: port(10_252, 'port of the node for health, metrics and pages'),
  podCidrs: texts('ranges of the pods of a node; empty: as the Node says'),
  podInterfaces: texts('interfaces of the pods of a node, as cali*'),
  capabilities: texts(
    'what the container may do: NET_ADMIN for rules and addresses, NET_RAW for ARP and NDP, NET_BIND_SERVICE for BGP',
    ['NET_ADMIN', 'NET_RAW', 'NET_BIND_SERVICE'],
  ),
  ...workload({
    resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '512Mi' } },
    graceSeconds: 30,
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists' }],
  }),
});
