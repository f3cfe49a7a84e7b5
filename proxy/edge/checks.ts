import type { HostFacts } from './hostfacts.ts';
import { coverOf, familyOf, isWithin } from './prefix.ts';

export interface Finding {
  /** error: Services do not work. warning: some may not, or not for everybody. */
  readonly severity: 'error' | 'warning';
  readonly what: string;
  /** One line, to be run or done as it is. */
  readonly fix: string;
}

interface Check {
  readonly name: string;
  find(facts: HostFacts): Finding[];
}

/** What keeps an agent from its work, by experience. A check that finds nothing is well. */
export const checks: readonly Check[] = [
  {
    name: 'capabilities',
    find({ capabilities }) {
      const missing = Object.entries({ NET_ADMIN: 12n, NET_RAW: 13n }).filter(
        ([, bit]) => !((capabilities >> bit) & 1n),
      );
      return missing.map(([name]) => {
        return error(
          `CAP_${name} is missing`,
          `give the container securityContext.capabilities.add: [${name}], or run as root`,
        );
      });
    },
  },
  {
    name: 'nft',
    find({ nftVersion }) {
      if (nftVersion === null) return [error('nft is not installed', 'apt install nftables')];
      if (!isOlder(nftVersion, oldestNft)) return [];
      return [error(`nft ${nftVersion} is older than ${oldestNft}`, `install nftables ${oldestNft} or newer`)];
    },
  },
  {
    name: 'kernel',
    find({ nftVersion, tableRefusal }) {
      if (nftVersion === null || tableRefusal === null) return [];
      const modules = 'nft_chain_nat nft_numgen nft_hash nft_masq nft_nat nft_reject_inet nft_fib_inet nft_ct';
      return [error(`it would not take our table: ${tableRefusal}`, `modprobe -a ${modules}`)];
    },
  },
  {
    name: 'BIRD',
    find({ birdVersion, capabilities, agent }) {
      const { node = '' } = agent?.status ?? {};
      if (!Object.values(agent?.plan.peer ?? {}).some(({ nodes }) => nodes.includes(node))) return [];
      if (birdVersion === null)
        return [error('bird is not installed, and a BGPPeer selects this node', 'apt install bird2')];
      if (!((capabilities >> 10n) & 1n)) {
        const fix = 'give the container securityContext.capabilities.add: [NET_BIND_SERVICE], or run as root';
        return [error('CAP_NET_BIND_SERVICE is missing, which the ports of BGP and BFD need', fix)];
      }
      if (!isOlder(birdVersion, oldestBird)) return [];
      return [warning(`bird ${birdVersion} is older than ${oldestBird}`, `install bird2 ${oldestBird} or newer`)];
    },
  },
  {
    name: 'announcing',
    find({ agent, missingTools }) {
      const announcements = Object.values(agent?.plan.announcement ?? {});
      const addresses = Object.values(agent?.plan.address ?? {});
      if (!announcements.some(({ layer2 }) => layer2 !== null)) return [];
      const needed = [
        { program: 'arping', family: 4, packageName: 'iputils-arping' },
        { program: 'ndptool', family: 6, packageName: 'libndp-tools' },
      ];
      return needed
        .filter(({ program, family }) => {
          return missingTools.includes(program) && addresses.some(({ id }) => familyOf(id) === family);
        })
        .map(({ program, family, packageName }) =>
          error(
            `${program} is not installed: neighbours are not told when an IPv${family} address moves`,
            `apt install ${packageName}`,
          ),
        );
    },
  },
  {
    name: 'forwarding',
    find({ sysctls, agent }) {
      const hasV6 = agent !== null && addressesOf(agent.plan).some((each) => familyOf(each) === 6);
      return ['net.ipv4.ip_forward', ...(hasV6 ? ['net.ipv6.conf.all.forwarding'] : [])]
        .filter((name) => sysctls.get(name) === '0')
        .map((name) => error(`${name} is 0: nothing reaches pods`, `sysctl -w ${name}=1`));
    },
  },
  {
    name: 'reverse path filter',
    find({ sysctls, interfaces, defaultInterfaces, agent }) {
      const podCidrs = Object.values(agent?.plan.node ?? {}).flatMap((node) => node.podCidrs);
      const isUplink = (address: string) => isSubnet(address) && !isWithin(address.split('/')[0] ?? '', podCidrs);
      const uplinks = interfaces.filter(({ name, addresses }) => name !== 'lo' && addresses.some(isUplink));
      // With one way in there is no other way out.
      if (uplinks.length < 2) return [];
      const filterOf = (name: string) => Number(sysctls.get(`net.ipv4.conf.${name}.rp_filter`) ?? 0);
      return uplinks
        .filter(({ name }) => Math.max(filterOf('all'), filterOf(name)) === 1 && !defaultInterfaces[4].includes(name))
        .map(({ name }) =>
          warning(
            `${name} drops packets from addresses that are not answered by it`,
            `sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.${name}.rp_filter=2`,
          ),
        );
    },
  },
  {
    name: 'return path',
    find({ agent, interfaces, defaultInterfaces }) {
      const vips = Object.keys(agent?.plan.address ?? {});
      return interfaces.flatMap(({ name, addresses }) => {
        const subnets = addresses.filter(isSubnet);
        return ([4, 6] as const).flatMap((family) => {
          const ways = defaultInterfaces[family];
          const vip = vips.find((each) => familyOf(each) === family && isWithin(each, subnets));
          if (vip === undefined || ways.length === 0 || ways.includes(name)) return [];
          const subnet = subnets.find((each) => isWithin(vip, [each]));
          return [
            warning(
              `answers of ${vip} to clients beyond its subnet leave by ${ways.join(', ')}, and came by ${name}`,
              backBy(name, family, subnet ?? ''),
            ),
          ];
        });
      });
    },
  },
  {
    name: 'IPVS',
    find({ interfaces, sysctls }) {
      if (!interfaces.some(({ name }) => name === 'kube-ipvs0')) return [];
      if (sysctls.get('net.ipv4.conf.all.arp_ignore') === '1' && sysctls.get('net.ipv4.conf.all.arp_announce') === '2')
        return [];
      const what = 'kube-proxy holds every Service address on kube-ipvs0, and this node answers ARP for all of them';
      return [error(what, "set ipvs.strictARP: true in kube-proxy's configuration and restart it")];
    },
  },
  {
    name: 'bridged pods',
    find({ sysctls }) {
      if (sysctls.get('net.bridge.bridge-nf-call-iptables') !== '0') return [];
      const what = 'what pods on one bridge say to each other does not pass the rules';
      return [warning(what, 'sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1')];
    },
  },
  {
    name: 'other proxies',
    find({ agent, tables }) {
      if (agent?.status.services !== 'all' || !tables.some((table) => table.endsWith(' kube-proxy'))) return [];
      return [
        warning('kube-proxy has rules for the same Services', 'remove kube-proxy, or serve --services loadbalancer'),
      ];
    },
  },
  {
    name: 'pools',
    find({ agent }) {
      if (agent === null) return [];
      const { node, address, service } = agent.plan;
      const nodes = Object.values(node);
      const clusterIps = new Set(Object.values(service).flatMap((each) => each.clusterIps));
      return Object.values(address).flatMap(({ id, pool }) => {
        const host = nodes.find(({ addresses }) => addresses.includes(id));
        const pods = nodes.find(({ podCidrs }) => isWithin(id, podCidrs));
        const clash = host
          ? `is the address of ${host.id}`
          : pods
            ? `lies among the pods of ${pods.id}`
            : clusterIps.has(id)
              ? 'is a cluster address, too'
              : null;
        if (clash === null) return [];
        return [error(`${id} ${clash}`, `kubectl edit addresspool ${pool}, and take ${id} out`)];
      });
    },
  },
  {
    name: 'ports',
    find({ agent, listening }) {
      if (agent === null || agent.status.services === 'loadbalancer') return [];
      return Object.values(agent.plan.service).flatMap(({ id, ports }) =>
        ports
          .filter(({ nodePort, protocol }) => nodePort !== null && listening.has(`${protocol} ${nodePort}`))
          .map(({ nodePort, protocol }) =>
            warning(
              `a process listens on ${protocol} port ${nodePort}, which is a node port of ${id} and never reaches it`,
              `ss -lnp 'sport = :${nodePort}' names the process: end it, or give it another port`,
            ),
          ),
      );
    },
  },
  {
    name: 'connection tracking',
    find({ conntrack }) {
      if (conntrack === null || conntrack.count < 0.8 * conntrack.max) return [];
      const what = `${conntrack.count} of ${conntrack.max} flows are in use; new ones are dropped when it is full`;
      return [warning(what, `sysctl -w net.netfilter.nf_conntrack_max=${2 * conntrack.max}`)];
    },
  },
];

/** What the rules were measured with. Older ones lack what they need, or crash on others' tables. */
const oldestNft = '1.0.6';

/** What the files were tested with. */
const oldestBird = '2.0.12';

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  const place = (a ?? []).findIndex((part, i) => part !== b?.[i]);
  return place !== -1 && (a?.[place] ?? 0) < (b?.[place] ?? 0);
}

/** What Services and pods are reached at. */
function addressesOf({ service, node }: NonNullable<HostFacts['agent']>['plan']): string[] {
  const ofServices = Object.values(service).flatMap(({ clusterIps, vips }) => [
    ...clusterIps,
    ...vips.map(({ address }) => address),
  ]);
  return [...ofServices, ...Object.values(node).flatMap(({ podCidrs }) => podCidrs)];
}

/**
 * Sends answers back by the interface that the question came by. By a mark of the connection: the way of an answer is chosen
 * while it has still the address of its pod.
 */
function backBy(name: string, family: 4 | 6, subnet: string): string {
  const rules = [
    'add table inet back',
    'add chain inet back in { type filter hook prerouting priority -140; }',
    `add rule inet back in iifname "${name}" ct state new ct mark set ct mark or 0x2000`,
    `add rule inet back in iifname != "${name}" ct mark and 0x2000 != 0 meta mark set meta mark or 0x2000`,
  ];
  return [
    `nft '${rules.join('; ')}'`,
    `ip -${family} rule add fwmark 0x2000/0x2000 lookup 100`,
    `ip -${family} route add ${coverOf([subnet], family).join('')} dev ${name} table 100`,
    `ip -${family} route add default via <the gateway of ${name}> dev ${name} table 100`,
  ].join('; ');
}

/** An address that others share a network with; a VIP is none. */
function isSubnet(address: string): boolean {
  return Number(address.split('/')[1]) < (familyOf(address) === 4 ? 32 : 128);
}

function error(what: string, fix: string): Finding {
  return { severity: 'error', what, fix };
}

function warning(what: string, fix: string): Finding {
  return { severity: 'warning', what, fix };
}
