import { clientTypeOf, flowTypeOf } from './flow.ts';

/**
 * `{ip}` stands for the type of an address, `{client}` and `{flow}` for what names these. Types are spelled out where nft
 * allows it: of `typeof`, nft 1.0.6 cannot put `th dport` together again when later rules use the map.
 */
const familySpecs = {
  /** Address, protocol and port of a Service → entry key. */
  service: map('type {ip} . inet_proto . inet_service : classid'),
  /** Protocol and node port → entry key; only the node's own addresses have node ports. */
  nodeport: map('type inet_proto . inet_service : classid'),
  node: set('type {ip}'),
  /** Addresses that belong to Services alone: what is no port of theirs is refused. */
  address: set('type {ip}'),
  /** Entry key and who may come. */
  range: set('type classid . {ip}; flags interval'),
  /** List key and a number from 1 → endpoint. */
  endpoint: map('type classid : {ip} . inet_service'),
  /** The same for affinity lists, where an endpoint has one key for as long as it is there: endpoint key → endpoint. */
  sticky: map('type classid : {ip} . inet_service'),
  /** Client and list key → endpoint key. */
  affinity: learnt('map', 'typeof {client} . meta priority : meta priority; flags dynamic,timeout; size 1048576'),
  /** The pods of this node. */
  pod: set('type {ip}; flags interval'),
  /** Who keeps its address on the way to a cluster address: these pods, or everybody where pods cannot be told. */
  inside: set('type {ip}; flags interval'),
  /** Endpoints of this node, twice: one that reaches itself through a Service must not see its own address as the client's. */
  hairpin: set('type {ip} . {ip}'),
  /** UDP ports of Services, which nothing may reach untranslated. */
  udp: set('type {ip} . inet_service'),
  /** UDP endpoints that went; remembered for longer than the kernel remembers an idle flow. */
  gone: set('type {ip} . inet_service; flags timeout; size 65536'),
  /** UDP flows that had to leave their endpoint, and the connection tracking zone in which they began anew. */
  moved: learnt('map', 'typeof {flow} : ct zone; flags dynamic,timeout; size 65536'),
} as const;

const sharedSpecs = {
  /** List key → the chain that chooses. */
  lists: map('type classid : verdict'),
  /** Affinity lists: list key and a number from 1, without gaps → endpoint key. */
  slot: map('type classid : classid'),
  /** Who wrote the table. */
  state: learnt('set', 'type classid'),
} as const;

export type Family = 4 | 6;
export const families: readonly Family[] = [4, 6];
export type SetName = `${keyof typeof familySpecs}${Family}` | keyof typeof sharedSpecs;

interface SetSpec {
  readonly form: 'map' | 'set';
  readonly spec: string;
  /** plan: its elements follow from the plan. kernel: they are learnt on the way, and outlive a new plan. */
  readonly filledBy: 'plan' | 'kernel';
}

/** Every set and map of the table. What a packet looks up is one of them; how many there are does not depend on the plan. */
export const setSpecs: ReadonlyMap<SetName, SetSpec> = new Map([
  ...families.flatMap((family) => Object.entries(familySpecs).map(([name, spec]) => ofFamily(name, spec, family))),
  ...(Object.entries(sharedSpecs) as [SetName, SetSpec][]),
]);

export function ipOf(family: Family): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}

function ofFamily(name: string, { form, spec, filledBy }: SetSpec, family: Family): [SetName, SetSpec] {
  const own = spec
    .replaceAll('{ip}', family === 4 ? 'ipv4_addr' : 'ipv6_addr')
    .replaceAll('{client}', clientTypeOf(family))
    .replaceAll('{flow}', flowTypeOf(family));
  return [`${name}${family}` as SetName, { form, spec: own, filledBy }];
}

function map(spec: string): SetSpec {
  return { form: 'map', spec, filledBy: 'plan' };
}

function set(spec: string): SetSpec {
  return { form: 'set', spec, filledBy: 'plan' };
}

function learnt(form: SetSpec['form'], spec: string): SetSpec {
  return { form, spec, filledBy: 'kernel' };
}
