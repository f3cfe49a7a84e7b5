import type { Problem, Source } from '#table/problem.ts';
import { splitKey } from '../watch/view.ts';
import type { Claim } from './claim.ts';
import type { Ledger } from './ledger.ts';
import { type Applicant, admits, type Pool, type PoolSet } from './pools.ts';
import { addressProblem } from './problems.ts';
import { type Family, familyOf } from './ranges.ts';
import type { Allocation } from './record.ts';

/** What a Service holds already. */
export interface Holding extends Allocation {
  /** Written down by a leader: nobody takes it away without need. */
  isRecorded: boolean;
}

export interface Decision {
  /** What it is to have, in the order of its families. */
  target: readonly Allocation[];
  /** false: it may get more, or what it asks for, when something changes. */
  isComplete: boolean;
  problems: readonly Problem[];
}

/**
 * What one Service is to have, as things stand. Who holds an address keeps it, unless the Service itself asks for
 * another one that it can have: no change of a pool, no mistake in an annotation and no other Service interrupts it.
 */
export function decide(
  claim: Claim,
  held: readonly Holding[],
  pools: PoolSet,
  ledger: Ledger,
  applicant: Applicant,
): Decision {
  const [namespace, name] = splitKey(claim.key);
  const source: Source = { kind: 'Service', namespace, name };
  const desk: Desk = { claim, pools, ledger, applicant, source };
  const kept = held.filter(({ isRecorded }) => isRecorded);
  const refusals = claim.requested === null ? claim.problems : refusalsOf(claim.requested, held, desk);
  if (refusals.length > 0) return { target: kept, isComplete: false, problems: [...refusals, ...doubtsOf(kept, desk)] };

  const target: Allocation[] = [];
  const lacks: { family: Family; problem: Problem }[] = [];
  for (const family of claim.families) {
    const own = held.filter(({ address }) => familyOf(address) === family);
    const served = serve(family, own, desk);
    target.push(...served.target);
    if (served.problem) lacks.push({ family, problem: served.problem });
  }
  const missing = claim.families.find((family) => !target.some(({ address }) => familyOf(address) === family));
  const isComplete = lacks.length === 0;
  const doubts = doubtsOf(
    target.filter((each) => kept.some(({ address }) => address === each.address)),
    desk,
  );
  const problems = lacks.map(({ problem }) => problem);
  if (missing !== undefined && claim.needsAll) {
    const incomplete = addressProblem('DualStackIncomplete', source, { family: missing });
    return { target: kept, isComplete, problems: [...problems, incomplete, ...doubts] };
  }
  // PreferDualStack is content with one family, whose lack of the other is no fault of anybody.
  const isContent = target.length > 0 && missing !== undefined;
  const shown = isContent ? lacks.filter(({ family }) => family !== missing).map(({ problem }) => problem) : problems;
  return { target, isComplete, problems: [...shown, ...doubts] };
}

interface Desk {
  claim: Claim;
  pools: PoolSet;
  ledger: Ledger;
  applicant: Applicant;
  source: Source;
}

/** Addresses that it asks for are given all or not at all. */
function refusalsOf(requested: readonly string[], held: readonly Holding[], desk: Desk): Problem[] {
  const { claim, pools, ledger, applicant, source } = desk;
  return requested.flatMap((address) => {
    // What is only proposed is looked at anew, as a replica does that hears of it later.
    if (held.some((each) => each.address === address && each.isRecorded)) return [];
    const pool = pools.of(address);
    if (pool === undefined) return addressProblem('AddressOutsidePools', source, { address, where: 'no AddressPool' });
    if (claim.pool !== null && claim.pool.name !== pool.name) {
      const where = `AddressPool ${pool.name}, not in ${claim.pool.name}`;
      return addressProblem('AddressOutsidePools', source, { address, where });
    }
    if (!admits(pool, applicant)) return addressProblem('AddressPoolRefuses', source, { pool: pool.name });
    const obstacle = ledger.obstacle(claim, address);
    return obstacle === null ? [] : addressProblem('AddressTaken', source, { address, ...obstacle });
  });
}

interface Served {
  target: readonly Allocation[];
  problem?: Problem;
}

function serve(family: Family, own: readonly Holding[], desk: Desk): Served {
  const { claim, pools } = desk;
  const requested = (claim.requested ?? []).filter((address) => familyOf(address) === family);
  if (requested.length > 0) {
    const target = requested.map((address) => {
      const pool = pools.of(address)?.name ?? own.find((each) => each.address === address)?.pool ?? '';
      return { address, pool };
    });
    return { target };
  }
  const [fitting] = own.filter(({ pool }) => claim.pool === null || claim.pool.name === pool);
  if (fitting !== undefined) return { target: [fitting] };
  const found = choose(family, desk);
  return 'address' in found
    ? { target: [found] }
    : { target: own.filter(({ isRecorded }) => isRecorded).slice(0, 1), problem: found };
}

/** An address of the first pool that has one. A Service with a sharing key joins those that have it already. */
function choose(family: Family, { claim, pools, ledger, applicant, source }: Desk): Allocation | Problem {
  let candidates: readonly Pool[] = pools.pools.filter((pool) => pool.spec.autoAssign && admits(pool, applicant));
  if (claim.pool !== null) {
    const { name, field } = claim.pool;
    const named = pools.get(name);
    const at = { ...source, field };
    if (named === undefined) return addressProblem('AddressPoolNotFound', at, { pool: name });
    if (!admits(named, applicant)) return addressProblem('AddressPoolRefuses', at, { pool: name });
    candidates = [named];
  }
  candidates = candidates.filter(({ ranges }) => ranges.some((range) => range.family === family));
  for (const pool of candidates) {
    const shared = claim.sharing.key === null ? [] : ledger.sharedUnder(claim.sharing.key);
    const joined = shared.find(
      (address) =>
        familyOf(address) === family && pools.of(address) === pool && ledger.obstacle(claim, address) === null,
    );
    const address = joined ?? ledger.firstFree(pool, family);
    if (address !== undefined) return { address, pool: pool.name };
  }
  if (candidates.length === 0) return addressProblem('AddressPoolNone', source, { family });
  const names = candidates.map(({ name }) => name).join(', ');
  return addressProblem('AddressPoolExhausted', source, { family, pools: `AddressPool ${names}` });
}

/** What is kept, and would not be given now. */
function doubtsOf(kept: readonly Allocation[], { claim, pools, ledger, applicant, source }: Desk): Problem[] {
  return kept.flatMap(({ address, pool: origin }) => {
    const pool = pools.of(address);
    const node = ledger.nodeOf(address);
    const why =
      pool === undefined
        ? `no AddressPool holds it any more (it came from ${origin})`
        : !admits(pool, applicant)
          ? `AddressPool ${pool.name} is not for it any more`
          : origin === claim.pool?.name && origin !== pool.name
            ? `it is of AddressPool ${pool.name} now, and the Service asks for one of ${origin}`
            : node && `it is an address of Node ${node}`;
    return why ? addressProblem('AddressKept', source, { address, why }) : [];
  });
}
