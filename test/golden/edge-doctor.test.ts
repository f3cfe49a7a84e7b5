import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyPlan, type PlanRow } from '#table/plan.ts';
import { checks } from '../../proxy/edge/checks.ts';
import type { HostFacts } from '../../proxy/edge/hostfacts.ts';
import { applyDelta } from '../../proxy/receive/delta.ts';
import { planRow } from '../kit/plans.ts';

const well: HostFacts = {
  capabilities: (1n << 10n) | (1n << 12n) | (1n << 13n),
  nftVersion: '1.0.6',
  birdVersion: '2.0.12',
  missingTools: ['ndptool'],
  tableRefusal: null,
  tables: ['inet sluice', 'ip kube-proxy'],
  sysctls: new Map([
    ['net.ipv4.ip_forward', '1'],
    // Of a cluster of IPv4 alone.
    ['net.ipv6.conf.all.forwarding', '0'],
    ['net.ipv4.conf.all.rp_filter', '0'],
    ['net.ipv4.conf.eth0.rp_filter', '1'],
  ]),
  interfaces: [
    { name: 'lo', addresses: ['127.0.0.1/8'] },
    { name: 'eth0', addresses: ['172.30.0.1/24', '192.0.2.1/32'] },
    { name: 'cni0', addresses: ['10.244.1.1/24'] },
  ],
  defaultInterfaces: { 4: ['eth0'], 6: [] },
  listening: new Set(['tcp 22', 'udp 30053']),
  conntrack: { count: 10, max: 100 },
  agent: agent('loadbalancer', []),
};

function agent(services: string, rows: readonly PlanRow[]): NonNullable<HostFacts['agent']> {
  const plan = emptyPlan();
  const node = planRow('node', { id: 'node-a', addresses: ['172.30.0.1'], podCidrs: ['10.244.0.0/16'] });
  applyDelta(plan, { upserts: [node, ...rows], deletes: [] });
  const dump = Object.fromEntries(
    Object.entries(plan).map(([kind, rowsById]) => [kind, Object.fromEntries<unknown>(rowsById)]),
  );
  const status = {
    node: 'node-a',
    services,
    unreadyReason: null,
    plan: { hash: '', generation: 1 },
    rows: {},
    conntrack: null,
  };
  const rules = { transactions: 0, lastMs: 0, failures: 0 };
  return { status: { ...status, rules, announcing: [], problems: [] }, plan: dump as never };
}

function withSysctls(values: Record<string, string>): Partial<HostFacts> {
  return { sysctls: new Map([...well.sysctls, ...Object.entries(values)]) };
}

const eth1 = { name: 'eth1', addresses: ['198.51.100.2/24'] };
const vip = (id: string) => planRow('address', { id, pool: 'public' });
const peer = planRow('peer', { id: 'tor', nodes: ['node-a'], address: '172.30.0.254', localAsn: 1, peerAsn: 2 });
const service = planRow('service', {
  id: 'shop/web',
  clusterIps: ['10.96.0.1'],
  ports: [{ name: '', protocol: 'tcp', port: 80, nodePort: 22, endpointsId: 'shop/web/tcp/80' }],
});

const cases: { what: string; facts: Partial<HostFacts>; finds: RegExp; fix: RegExp }[] = [
  {
    what: 'a capability is missing',
    facts: { capabilities: 1n << 13n },
    finds: /^error capabilities: CAP_NET_ADMIN/,
    fix: /capabilities\.add: \[NET_ADMIN\]/,
  },
  {
    what: 'no nft',
    facts: { nftVersion: null, tableRefusal: 'nft is not installed' },
    finds: /^error nft: nft is not/,
    fix: /apt install nftables/,
  },
  {
    what: 'no program tells neighbours of an address',
    facts: {
      agent: agent('loadbalancer', [
        vip('192.0.2.1'),
        vip('2001:db8::1'),
        planRow('announcement', { id: 'l2', layer2: { interfaces: [] } }),
      ]),
    },
    finds: /^error announcing: ndptool is not installed/,
    fix: /^apt install libndp-tools$/,
  },
  { what: 'an old nft', facts: { nftVersion: '1.0.2' }, finds: /^error nft: nft 1\.0\.2/, fix: /1\.0\.6 or newer/ },
  {
    what: 'a kernel without modules',
    facts: { tableRefusal: 'nft: no such file' },
    finds: /^error kernel: /,
    fix: /^modprobe -a nft_chain_nat/,
  },
  {
    what: 'peers without BIRD',
    facts: { birdVersion: null, agent: agent('loadbalancer', [peer]) },
    finds: /^error BIRD: bird is not installed/,
    fix: /^apt install bird2$/,
  },
  {
    what: 'peers without the right to their ports',
    facts: { capabilities: 0b11n << 12n, agent: agent('loadbalancer', [peer]) },
    finds: /^error BIRD: CAP_NET_BIND_SERVICE/,
    fix: /add: \[NET_BIND_SERVICE\]/,
  },
  {
    what: 'peers and an old BIRD',
    facts: { birdVersion: '2.0.7', agent: agent('loadbalancer', [peer]) },
    finds: /^warning BIRD: bird 2\.0\.7/,
    fix: /2\.0\.12 or newer/,
  },
  {
    what: 'no forwarding',
    facts: withSysctls({ 'net.ipv4.ip_forward': '0' }),
    finds: /^error forwarding: net\.ipv4/,
    fix: /^sysctl -w net\.ipv4\.ip_forward=1$/,
  },
  {
    what: 'no forwarding of IPv6, where there are Services of it',
    facts: { agent: agent('all', [planRow('service', { id: 'shop/web', clusterIps: ['fd96::1'] })]), tables: [] },
    finds: /^error forwarding: net\.ipv6/,
    fix: /^sysctl -w net\.ipv6\.conf\.all\.forwarding=1$/,
  },
  {
    what: 'a strict filter on a second uplink',
    facts: { interfaces: [...well.interfaces, eth1], ...withSysctls({ 'net.ipv4.conf.eth1.rp_filter': '1' }) },
    finds: /^warning reverse path filter: eth1/,
    fix: /eth1\.rp_filter=2$/,
  },
  {
    what: 'answers that leave by another way',
    facts: { interfaces: [...well.interfaces, eth1], agent: agent('loadbalancer', [vip('198.51.100.9')]) },
    finds: /^warning return path: answers of 198\.51\.100\.9 .* leave by eth0, and came by eth1/,
    fix: /^nft '.*iifname "eth1".*'; ip -4 rule add .*; ip -4 route add 198\.51\.100\.0\/24 dev eth1 table 100; .*default via/,
  },
  {
    what: 'IPVS without strictARP',
    facts: { interfaces: [...well.interfaces, { name: 'kube-ipvs0', addresses: [] }] },
    finds: /^error IPVS: /,
    fix: /strictARP: true/,
  },
  {
    what: 'bridged pods past the rules',
    facts: withSysctls({ 'net.bridge.bridge-nf-call-iptables': '0' }),
    finds: /^warning bridged pods: /,
    fix: /^sysctl -w net\.bridge/,
  },
  {
    what: 'kube-proxy beside --services all',
    facts: { agent: agent('all', []) },
    finds: /^warning other proxies: /,
    fix: /loadbalancer/,
  },
  {
    what: 'a pool that holds a node',
    facts: { agent: agent('loadbalancer', [vip('172.30.0.1')]) },
    finds: /^error pools: 172\.30\.0\.1 is the address of node-a/,
    fix: /edit addresspool public/,
  },
  {
    what: 'a pool among pods',
    facts: { agent: agent('loadbalancer', [vip('10.244.2.9')]) },
    finds: /^error pools: .* among the pods of node-a/,
    fix: /take 10\.244\.2\.9 out/,
  },
  {
    what: 'a pool and a cluster address',
    facts: { agent: agent('loadbalancer', [vip('10.96.0.1'), service]) },
    finds: /^error pools: .* cluster address/,
    fix: /public/,
  },
  {
    what: 'a port that is taken',
    facts: { tables: [], agent: agent('all', [service]) },
    finds: /^warning ports: .* tcp port 22, which is a node port of shop\/web/,
    fix: /^ss -lnp/,
  },
  {
    what: 'connection tracking nearly full',
    facts: { conntrack: { count: 90, max: 100 } },
    finds: /^warning connection tracking: 90 of 100/,
    fix: /nf_conntrack_max=200$/,
  },
];

function examine(facts: Partial<HostFacts>) {
  return checks.flatMap(({ name, find }) =>
    find({ ...well, ...facts }).map((each) => ({ ...each, line: `${each.severity} ${name}: ${each.what}` })),
  );
}

test('edge doctor: a machine that is well', () => {
  assert.deepEqual(examine({}), []);
  assert.deepEqual(examine({ agent: null }), []);
});

for (const { what, facts, finds, fix } of cases) {
  test(`edge doctor: ${what}: found alone, with a fix of one line`, () => {
    const [finding, ...others] = examine(facts);
    assert.match(finding?.line ?? '', finds);
    assert.match(finding?.fix ?? '', fix);
    assert.doesNotMatch(finding?.fix ?? '', /\n/);
    assert.deepEqual(others, []);
  });
}
