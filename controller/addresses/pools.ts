import type { Problem, Source } from '#table/problem.ts';
import { compareText } from '../translate/problems.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { AddressPoolSpec } from './addresspool.ts';
import { addressProblem } from './problems.ts';
import {
  type Address,
  type Family,
  holds,
  overlap,
  parseAddress,
  parseRange,
  type Range,
  sizeOf,
  without,
} from './ranges.ts';
import { selects } from './selector.ts';

/** A pool as allocation sees it. */
export interface Pool {
  name: string;
  spec: AddressPoolSpec;
  /** What belongs to it alone, in the order in which it is given out. */
  ranges: readonly Range[];
}

/** The Service that wants an address, as far as pools ask. */
export interface Applicant {
  namespace: string;
  labels: Readonly<Record<string, string>>;
  namespaceLabels: Readonly<Record<string, string>>;
}

/**
 * All pools at one moment. An address belongs to one pool: of pools that overlap it is the oldest's, and the others are told.
 */
export class PoolSet {
  /** In the order in which they are asked: by priority, then those for certain Services first, then by name. */
  readonly pools: readonly Pool[];
  readonly problems: readonly Problem[];

  constructor(objects: Iterable<ObjectOf<'AddressPool'>>) {
    const problems: Problem[] = [];
    const owned: Owned[] = [];
    const pools = [...objects].sort(byAge).map(({ metadata: { name }, spec }): Pool => {
      const ranges = rangesOf(name, spec, owned, problems);
      return { name, spec, ranges };
    });
    this.pools = pools.sort(byTurn);
    this.problems = problems;
  }

  get(name: string): Pool | undefined {
    return this.pools.find((pool) => pool.name === name);
  }

  /** The pool that an address belongs to; undefined also for addresses that their pool leaves out. */
  of(canonical: string): Pool | undefined {
    const address = parseAddress(canonical);
    if (address === undefined) return undefined;
    const pool = this.pools.find(({ ranges }) => ranges.some((range) => holds(range, address)));
    return pool && isLeftOut(pool, address) ? undefined : pool;
  }
}

/** Whether a pool gives to this Service at all. */
export function admits({ spec }: Pool, { namespace, labels, namespaceLabels }: Applicant): boolean {
  const { namespaces, namespaceSelector, serviceSelector } = spec;
  const isNamed = namespaces.includes(namespace);
  const isSelected = namespaceSelector !== undefined && selects(namespaceSelector, namespaceLabels);
  const isForAll = namespaces.length === 0 && namespaceSelector === undefined;
  return (isForAll || isNamed || isSelected) && (serviceSelector === undefined || selects(serviceSelector, labels));
}

/** Whether a pool leaves an address of its ranges out. */
export function isLeftOut({ spec }: Pool, { family, value }: Address): boolean {
  if (!spec.avoidBuggyIPs || family === 'IPv6') return false;
  const lastByte = value & 255n;
  return lastByte === 0n || lastByte === 255n;
}

/** How many addresses of a family a pool can give. */
export function capacityOf(pool: Pool, family: Family): bigint {
  let sum = 0n;
  for (const range of pool.ranges) {
    if (range.family !== family) continue;
    sum += sizeOf(range);
    if (pool.spec.avoidBuggyIPs && family === 'IPv4') sum -= endingWith(range, 0n) + endingWith(range, 255n);
  }
  return sum;
}

/** How many addresses of a range have this last byte. */
function endingWith({ first, last }: Range, lastByte: bigint): bigint {
  const upTo = (value: bigint) => (value < lastByte ? 0n : (value - lastByte) / 256n + 1n);
  return upTo(last) - upTo(first - 1n);
}

interface Owned {
  range: Range;
  pool: string;
}

function rangesOf(name: string, spec: AddressPoolSpec, owned: Owned[], problems: Problem[]): Range[] {
  const ranges: Range[] = [];
  for (const [index, entry] of spec.addresses.entries()) {
    const source: Source = { kind: 'AddressPool', namespace: '', name, field: `spec.addresses[${index}]` };
    const range = parseRange(entry);
    if ('fault' in range) {
      problems.push(addressProblem('AddressPoolInvalid', source, { entry, fault: range.fault }));
      continue;
    }
    const elders = owned.filter((other) => overlap(other.range, range));
    const elder = elders.find(({ pool }) => pool !== name);
    if (elder) problems.push(addressProblem('AddressPoolOverlaps', source, { entry, pool: elder.pool }));
    for (const part of without(
      range,
      elders.map((other) => other.range),
    )) {
      ranges.push(part);
      owned.push({ range: part, pool: name });
    }
  }
  return ranges;
}

function byAge(a: ObjectOf<'AddressPool'>, b: ObjectOf<'AddressPool'>): number {
  const [one, other] = [a.metadata, b.metadata];
  return compareText(one.creationTimestamp, other.creationTimestamp) || compareText(one.name, other.name);
}

function byTurn(a: Pool, b: Pool): number {
  const [one, other] = [a.spec.priority ?? Number.MAX_VALUE, b.spec.priority ?? Number.MAX_VALUE];
  return one - other || Number(isForAll(a)) - Number(isForAll(b)) || compareText(a.name, b.name);
}

function isForAll({ spec }: Pool): boolean {
  return spec.namespaces.length === 0 && !spec.namespaceSelector && !spec.serviceSelector;
}
