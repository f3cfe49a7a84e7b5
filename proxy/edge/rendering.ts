import { type EdgeEndpoint, type EdgeService, maxListEndpoints, type ServicePort } from '#table/service.ts';
import type { Choosers } from './choosers.ts';
import { type Frontend, frontendsOf, type ServiceScope } from './frontends.ts';
import { entryFlags, keyText, localBit, portKey } from './key.ts';
import type { Numbers } from './numbers.ts';
import { coverOf, familyOf, isWithin } from './prefix.ts';
import { type Family, families, type SetName } from './sets.ts';
import { elementOf, flat } from './transaction.ts';
import { type Place, usableOf } from './usable.ts';

/** What a node is, as far as its rules go. */
export interface NodeFacts extends Place {
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
}

/** What rendering needs and does not own. */
export interface RenderingContext {
  readonly node: NodeFacts;
  readonly scope: ServiceScope;
  readonly choosers: Choosers;
  /** @returns the number of a port of a Service; null when there are no more. `elements`: where it was seen before, maybe */
  portId(owner: string, elements: readonly string[]): number | null;
  /** The numbers of an affinity list. */
  numbers(listKey: number): Numbers;
}

/** The elements that a Service has in the table of a node. */
export interface Rendering {
  /** Elements whose keys are its own, and their values. */
  readonly own: Map<string, string>;
  /** Elements that others may want, too. */
  readonly claims: Map<string, { rank: number; value: string }>;
  /** UDP endpoints that serve, ready or not: flows to them may go on. */
  readonly udpTargets: Set<string>;
  /** What its ports are called in `portId`. */
  readonly ports: Set<string>;
  /** The chains that its lists go to, one for each list. */
  readonly chains: string[];
  /** Rows of endpoints that went into it. */
  readonly endpointsIds: readonly string[];
}

/**
 * Everything that follows from a Service and its endpoints.
 * @param endpointsByPort in the order of its ports
 */
export function renderService(
  service: EdgeService,
  endpointsByPort: readonly (readonly EdgeEndpoint[])[],
  context: RenderingContext,
): Rendering {
  const rendering: Rendering = {
    own: new Map(),
    claims: new Map(),
    udpTargets: new Set(),
    ports: new Set(),
    chains: [],
    endpointsIds: service.ports.map(({ endpointsId }) => endpointsId),
  };
  for (const [i, port] of service.ports.entries()) {
    const endpoints = endpointsByPort[i] ?? [];
    for (const family of families) {
      const frontends = frontendsOf(service, port, family, context.scope);
      if (frontends.length === 0) continue;
      const ofFamily = endpoints.filter(({ address }) => familyOf(address) === family);
      renderPort({ service, port, family, endpoints: ofFamily }, frontends, context, rendering);
    }
  }
  return rendering;
}

interface PortOfFamily {
  readonly service: EdgeService;
  readonly port: ServicePort;
  readonly family: Family;
  readonly endpoints: readonly EdgeEndpoint[];
}

function renderPort(
  of: PortOfFamily,
  frontends: readonly Frontend[],
  context: RenderingContext,
  into: Rendering,
): void {
  const { service, port, family, endpoints } = of;
  const entries = frontends.map((frontend) => entryElement(frontend, port, family));
  const owner = `${service.id} ${port.protocol} ${port.port} ${family}`;
  const id = context.portId(owner, entries);
  if (id === null) return;
  into.ports.add(owner);
  const key = portKey(id);

  frontends.forEach((frontend, i) => {
    const entry = keyText(key | frontend.flags);
    into.claims.set(entries[i] ?? '', {
      rank: ranks[frontend.kind],
      value: flat([commentOf(service, port), ':', entry]),
    });
    renderFrontend(frontend, of, context, entry, into);
  });

  const { cluster, local } = usableOf(endpoints, context.node);
  const isNowhere = cluster.length === 0 && local.length === 0;
  renderList(cluster, key, 'goto refuse', of, context, into);
  if (frontends.some(({ flags }) => flags & entryFlags.local)) {
    renderList(local, (key | localBit) >>> 0, isNowhere ? 'goto refuse' : 'drop', of, context, into);
  }
  for (const { address, node } of endpoints) {
    const hairpin = elementOf(`hairpin${family}`, `${address} . ${address}`);
    if (node === context.node.node) into.claims.set(hairpin, { rank: 0, value: '' });
  }
  if (port.protocol === 'udp') {
    for (const each of endpoints) if (each.serving) into.udpTargets.add(elementOf(`gone${family}`, targetOf(each)));
  }
}

/** What a frontend needs beside its entry. */
function renderFrontend(
  { address, port: number, flags, isWhole }: Frontend,
  { service, port, family, endpoints }: PortOfFamily,
  { node }: RenderingContext,
  entry: string,
  { own, claims }: Rendering,
): void {
  const isOfNode = address !== null && node.addresses.includes(address);
  // An address that the node has for itself, too, keeps its other ports.
  if (isWhole && address !== null && !isOfNode) {
    claims.set(elementOf(`address${family}`, address), { rank: 0, value: '' });
  }
  if (flags & entryFlags.guarded) {
    for (const range of rangesOf(service, address, family, node))
      own.set(elementOf(`range${family}`, `${entry} . ${range}`), '');
  }
  if (port.protocol === 'udp') {
    const addresses = address === null ? node.addresses.filter((each) => familyOf(each) === family) : [address];
    for (const each of addresses) {
      // A host's own port may be its endpoint: what reaches it is right untranslated.
      const isEndpoint = endpoints.some((endpoint) => endpoint.address === each && endpoint.port === number);
      if (!isEndpoint) claims.set(elementOf(`udp${family}`, `${each} . ${number}`), { rank: 0, value: '' });
    }
  }
}

/** Who may come. A node that may speaks from the VIP itself where it holds it. */
function rangesOf({ sourceRanges }: EdgeService, address: string | null, family: Family, node: NodeFacts): string[] {
  const own = node.addresses.some((each) => isWithin(each, sourceRanges));
  const self = own && address !== null ? [`${address}/${family === 4 ? 32 : 128}`] : [];
  return coverOf([...sourceRanges, ...self], family);
}

function renderList(
  endpoints: readonly EdgeEndpoint[],
  listKey: number,
  whenEmpty: string,
  { service, family }: PortOfFamily,
  { choosers, numbers }: RenderingContext,
  { own, chains }: Rendering,
): void {
  // The order is the same on all nodes, so a hash leads to the same endpoint on all of them.
  const targets = [...new Set(endpoints.map(targetOf))].sort().slice(0, maxListEndpoints);
  const element = elementOf('lists', keyText(listKey));
  const count = targets.length;
  if (count === 0) {
    own.set(element, `: ${whenEmpty}`);
    return;
  }
  const timeoutSeconds = service.affinityTimeoutSeconds;
  const chain = timeoutSeconds === null ? choosers.pick(count) : choosers.stick(family, count, timeoutSeconds);
  chains.push(chain);
  own.set(element, `: goto ${chain}`);
  if (timeoutSeconds === null) {
    putTargets(own, `endpoint${family}`, listKey, targets, (_, i) => i + 1);
    return;
  }
  const numberByTarget = numbers(listKey).follow(targets, maxListEndpoints);
  const numberOf = (target: string) => numberByTarget.get(target) ?? 0;
  putTargets(own, `sticky${family}`, listKey, targets, numberOf);
  targets.forEach((target, i) => {
    own.set(elementOf('slot', keyText(listKey | (i + 1))), `: ${keyText(listKey | numberOf(target))}`);
  });
}

function putTargets(
  own: Rendering['own'],
  set: SetName,
  listKey: number,
  targets: readonly string[],
  numberOf: (target: string, i: number) => number,
): void {
  targets.forEach((target, i) => {
    own.set(elementOf(set, keyText(listKey | numberOf(target, i))), flat([':', target]));
  });
}

function targetOf({ address, port }: EdgeEndpoint): string {
  return flat([address, '.', port]);
}

function entryElement({ address, port }: Frontend, { protocol }: ServicePort, family: Family): string {
  return address === null
    ? elementOf(`nodeport${family}`, `${protocol} . ${port}`)
    : elementOf(`service${family}`, flat([address, '.', protocol, '.', port]));
}

/** For those who list the table. nft takes 128 bytes. */
function commentOf({ namespace, name }: EdgeService, port: ServicePort): string {
  const text = `${namespace}/${name}:${port.name || port.port}`.replace(/[^\w./:-]/g, '_').slice(0, 120);
  return `comment "${text}"`;
}

/** What a cluster gives out goes before what users write. */
const ranks = { cluster: 0, node: 0, vip: 1, external: 2 } as const;
