import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { EdgeEndpoint, EdgeNode, EdgeService } from '#table/service.ts';
import { type Delta, refsOf } from '../receive/changes.ts';
import { Choosers } from './choosers.ts';
import { Claims } from './claims.ts';
import type { ServiceScope } from './frontends.ts';
import { Gone } from './gone.ts';
import { localBit, portKey } from './key.ts';
import { Numbers } from './numbers.ts';
import { PortIds } from './portids.ts';
import { coverOf, familyOf } from './prefix.ts';
import { type NodeFacts, type Rendering, type RenderingContext, renderService } from './rendering.ts';
import { families } from './sets.ts';
import { elementOf, Transaction } from './transaction.ts';

export interface RendererOptions {
  /** Name of the node that the rules are for. */
  readonly node: string;
  readonly scope: ServiceScope;
  /** What the pods of this node have their addresses from; null: as the plan says. */
  readonly podCidrs: readonly string[] | null;
  /** Pods are told by interfaces, too. */
  readonly hasPodInterfaces: boolean;
}

/** What an earlier table says, so that clients keep their endpoints over a restart. */
export interface Recalled {
  /** Numbers of ports of Services by the entry that they were reached by. */
  readonly portIdByElement: ReadonlyMap<string, number>;
  /** Numbers of the endpoints of affinity lists, by list key and endpoint. */
  readonly numbersByList: ReadonlyMap<number, ReadonlyMap<string, number>>;
  /** UDP endpoints that went, as elements. */
  readonly gone: readonly string[];
  /** Names of chains that choose. */
  readonly choosers: readonly string[];
}

/** Follows the plan and says what changes in the table of the node. A change costs what the Services that it touches cost. */
export class Renderer {
  readonly choosers: Choosers;
  readonly #options: RendererOptions;
  readonly #recalled: Recalled;
  readonly #portIds: PortIds;
  readonly #claims = new Claims();
  readonly #numbersByList = new Map<number, Numbers>();
  readonly #rendered = new Map<string, Rendered>();
  /** Nearly all have one; those with more are kept as lists. */
  readonly #serviceIdsByEndpoints = new Map<string, string | readonly string[]>();
  /** In how many Services a UDP endpoint serves. */
  readonly #udpTargets = new Map<string, number>();
  readonly #gone: Gone;
  readonly #tooMany = new Set<string>();
  #node: NodeFacts;
  /** null: nothing was ever rendered. */
  #nodeElements: ReadonlySet<string> | null = null;

  constructor(options: RendererOptions, recalled: Recalled) {
    this.#options = options;
    this.#recalled = recalled;
    this.choosers = new Choosers(recalled.choosers);
    this.#portIds = new PortIds(recalled.portIdByElement.values());
    this.#gone = new Gone(recalled.gone);
    this.#node = factsOf(undefined, options);
  }

  /** The next change is all that there is. */
  get isNew(): boolean {
    return this.#nodeElements === null;
  }

  /** @param plan as it is after the change */
  apply(plan: EdgePlan, delta: Delta<PlanRows>): Transaction {
    const { isNew } = this;
    const step: Step = { transaction: new Transaction(), claimed: isNew ? null : new Map(), udp: new Map() };
    for (const id of this.#touched(plan, delta, step.transaction)) this.#replace(plan, id, step);
    if (isNew) this.#addClaimed(step.transaction);
    for (const [element, before] of step.claimed ?? []) {
      const after = this.#claims.best(element)?.value ?? null;
      if (before === after) continue;
      if (before !== null) step.transaction.remove(element);
      if (after !== null) step.transaction.add(element, after);
    }
    const isIn = (element: string) => this.#udpTargets.has(element);
    const turned = [...step.udp]
      .filter(([element, before]) => before > 0 !== isIn(element))
      .map(([element]) => element);
    const went = turned.filter((element) => !isIn(element));
    this.#gone.note(went, turned.filter(isIn), step.transaction);
    if (isNew) this.#gone.all(step.transaction);
    step.transaction.addChains(this.choosers.takeFresh());
    return step.transaction;
  }

  /** All that a table must hold whose sets have been emptied. */
  whole(): Transaction {
    const transaction = new Transaction();
    transaction.addChains(this.choosers.all());
    for (const element of this.#nodeElements ?? []) transaction.add(element, '');
    this.#addClaimed(transaction);
    for (const rendered of this.#rendered.values()) {
      for (const [element, value] of this.#again(rendered).own) transaction.add(element, value);
    }
    this.#gone.all(transaction);
    return transaction;
  }

  /** What Services do not get as they are written. */
  problems(plan: EdgePlan): Problem[] {
    const problems: Problem[] = [];
    for (const { element, best, others } of this.#claims.contested()) {
      for (const { owner, value } of others) {
        const source = plan.service.get(owner)?.source;
        if (source !== undefined && value !== best.value) problems.push(clash(source, element, best.owner));
      }
    }
    for (const id of this.#tooMany) {
      const source = plan.service.get(id)?.source;
      if (source !== undefined) problems.push(tooMany(source));
    }
    return problems;
  }

  #touched(plan: EdgePlan, delta: Delta<PlanRows>, transaction: Transaction): Set<string> {
    const touched = new Set<string>();
    let isNodeTouched = this.#nodeElements === null;
    for (const { kind, id } of refsOf(delta)) {
      if (kind === 'service') touched.add(id);
      else if (kind === 'endpoints') for (const serviceId of this.#serviceIdsOf(id)) touched.add(serviceId);
      else if (kind === 'node' && id === this.#options.node) isNodeTouched = true;
    }
    if (isNodeTouched) {
      this.#node = factsOf(plan.node.get(this.#options.node), this.#options);
      const before = this.#nodeElements ?? new Set();
      const after = elementsOfNode(this.#node, this.#options);
      this.#nodeElements = after;
      for (const element of before.difference(after)) transaction.remove(element);
      for (const element of after.difference(before)) transaction.add(element, '');
      for (const id of plan.service.keys()) touched.add(id);
    }
    return touched;
  }

  #replace(plan: EdgePlan, id: string, step: Step): void {
    const service = plan.service.get(id);
    const rendered = this.#rendered.get(id);
    const before = rendered === undefined ? nothing : this.#again(rendered);
    this.#tooMany.delete(id);
    const inputs = service === undefined ? null : this.#inputsOf(plan, service);
    const after =
      inputs === null ? nothing : this.#render(inputs, (owner, elements) => this.#portId(id, owner, elements));
    for (const [element, value] of before.own) if (after.own.get(element) !== value) step.transaction.remove(element);
    for (const [element, value] of after.own)
      if (before.own.get(element) !== value) step.transaction.add(element, value);
    this.#claim(id, before.claims, after.claims, step.claimed);
    for (const element of before.udpTargets) this.#countUdp(element, -1, step.udp);
    for (const element of after.udpTargets) this.#countUdp(element, 1, step.udp);
    for (const owner of before.ports) if (!after.ports.has(owner)) this.#release(owner);
    this.choosers.use(after.chains);
    this.choosers.leave(before.chains);
    this.#index(id, before.endpointsIds, after.endpointsIds);
    if (inputs === null) this.#rendered.delete(id);
    else this.#rendered.set(id, inputs);
  }

  #inputsOf(plan: EdgePlan, service: EdgeService): Rendered {
    const endpoints = service.ports.map(({ endpointsId }) => plan.endpoints.get(endpointsId)?.endpoints ?? none);
    return { service, endpoints, node: this.#node };
  }

  /** What was made of it when it was rendered. */
  #again(rendered: Rendered): Rendering {
    return this.#render(rendered, (owner) => this.#portIds.of(owner));
  }

  #render({ service, endpoints, node }: Rendered, portId: RenderingContext['portId']): Rendering {
    return renderService(service, endpoints, {
      node,
      scope: this.#options.scope,
      choosers: this.choosers,
      portId,
      numbers: (listKey) => this.#numbers(listKey),
    });
  }

  #index(id: string, before: readonly string[], after: readonly string[]): void {
    for (const endpointsId of new Set([...before, ...after])) {
      const others = this.#serviceIdsOf(endpointsId).filter((serviceId) => serviceId !== id);
      const serviceIds = after.includes(endpointsId) ? [...others, id] : others;
      const [first] = serviceIds;
      if (first === undefined) this.#serviceIdsByEndpoints.delete(endpointsId);
      else this.#serviceIdsByEndpoints.set(endpointsId, serviceIds.length === 1 ? first : serviceIds);
    }
  }

  #serviceIdsOf(endpointsId: string): readonly string[] {
    const serviceIds = this.#serviceIdsByEndpoints.get(endpointsId) ?? [];
    return typeof serviceIds === 'string' ? [serviceIds] : serviceIds;
  }

  #claim(id: string, before: Rendering['claims'], after: Rendering['claims'], claimed: Step['claimed']): void {
    const note = (element: string): void => {
      if (claimed !== null && !claimed.has(element)) claimed.set(element, this.#claims.best(element)?.value ?? null);
    };
    for (const element of before.keys()) {
      if (after.has(element)) continue;
      note(element);
      this.#claims.drop(element, id);
    }
    for (const [element, { rank, value }] of after) {
      const old = this.#claims.of(element, id);
      if (old?.rank === rank && old.value === value) continue;
      note(element);
      this.#claims.put(element, { owner: id, rank, value });
    }
  }

  #addClaimed(transaction: Transaction): void {
    for (const element of this.#claims.elements()) {
      transaction.add(element, this.#claims.best(element)?.value ?? '');
    }
  }

  #countUdp(element: string, by: number, counted: Step['udp']): void {
    const count = this.#udpTargets.get(element) ?? 0;
    if (!counted.has(element)) counted.set(element, count);
    if (count + by === 0) this.#udpTargets.delete(element);
    else this.#udpTargets.set(element, count + by);
  }

  #portId(serviceId: string, owner: string, elements: readonly string[]): number | null {
    const known = this.#recalled.portIdByElement;
    const id = this.#portIds.take(
      owner,
      elements.map((element) => known.get(element)).find((id) => id !== undefined) ?? null,
    );
    if (id === null) this.#tooMany.add(serviceId);
    return id;
  }

  #numbers(listKey: number): Numbers {
    let numbers = this.#numbersByList.get(listKey);
    if (numbers === undefined) {
      numbers = new Numbers(this.#recalled.numbersByList.get(listKey));
      this.#numbersByList.set(listKey, numbers);
    }
    return numbers;
  }

  #release(owner: string): void {
    const id = this.#portIds.release(owner);
    if (id === null) return;
    this.#numbersByList.delete(portKey(id));
    this.#numbersByList.delete((portKey(id) | localBit) >>> 0);
  }
}

/** What one change does, with what was before it: only the difference goes to the kernel, whoever did what in between. */
interface Step {
  readonly transaction: Transaction;
  /** null: there was nothing. */
  readonly claimed: Map<string, string | null> | null;
  readonly udp: Map<string, number>;
}

/**
 * What a Service was last rendered from. What came of it is not kept but made again where it is asked for: that is hardly ever,
 * and a plan has hundreds of thousands of elements.
 */
interface Rendered {
  readonly service: EdgeService;
  /** By its ports. */
  readonly endpoints: readonly (readonly EdgeEndpoint[])[];
  readonly node: NodeFacts;
}

const none: readonly EdgeEndpoint[] = [];
const nothing: Rendering = {
  own: new Map(),
  claims: new Map(),
  udpTargets: new Set(),
  ports: new Set(),
  chains: [],
  endpointsIds: [],
};

function factsOf(row: EdgeNode | undefined, { node, podCidrs }: RendererOptions): NodeFacts {
  return {
    node,
    zone: row?.zone ?? null,
    addresses: row?.addresses ?? [],
    podCidrs: podCidrs ?? row?.podCidrs ?? [],
  };
}

function elementsOfNode({ addresses, podCidrs }: NodeFacts, { hasPodInterfaces }: RendererOptions): Set<string> {
  const elements = new Set<string>();
  for (const address of addresses) elements.add(elementOf(`node${familyOf(address)}`, address));
  for (const family of families) {
    const pods = coverOf(podCidrs, family);
    for (const prefix of pods) elements.add(elementOf(`pod${family}`, prefix));
    // Where pods cannot be told from others, nobody's address is taken from the sight of a cluster's own traffic.
    const inside = pods.length > 0 || hasPodInterfaces ? pods : [family === 4 ? '0.0.0.0/0' : '::/0'];
    for (const prefix of inside) elements.add(elementOf(`inside${family}`, prefix));
  }
  return elements;
}

function clash(source: Source, element: string, owner: string): Problem {
  const [, address] = element.split(/ (.*)/);
  return {
    code: 'AddressTaken',
    severity: 'error',
    source,
    message: `${address?.replaceAll(' . ', ' ')} belongs to ${owner} already.`,
    hint: 'Take the address or the port from one of the two Services.',
  };
}

function tooMany(source: Source): Problem {
  return {
    code: 'TooManyServicePorts',
    severity: 'error',
    source,
    message: 'This node serves as many ports of Services as it can tell apart.',
    hint: 'Split the cluster, or serve load balancer addresses only.',
  };
}
