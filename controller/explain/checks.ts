import { ownKinds } from '../addresses/kinds.ts';
import type { Facts, Reader } from './facts.ts';
import { podsOf } from './pods.ts';

/** A line of the checklist. */
export interface Check {
  readonly name: string;
  /** `note`: it works, and somebody may want to look. `waiting`: it may come by itself. `failed`: it does not. */
  readonly state: 'ok' | 'note' | 'waiting' | 'failed';
  readonly detail: string;
}

/** What facts mean, in the order in which things depend on each other. `nowMs` judges certificates. */
export function checksOf(facts: Facts, nowMs: number): Check[] {
  const { version, failure, classes, fleet } = facts;
  if (version === null) return [{ name: 'API server', state: 'failed', detail: failure }];
  const checks: Check[] = [
    { name: 'API server', state: 'ok', detail: version },
    kindsCheck(facts),
    classes.length > 0
      ? { name: 'class', state: 'ok', detail: `IngressClass ${classes.join(', ')}` }
      : { name: 'class', state: 'failed', detail: 'no IngressClass names our controller: Ingresses are not served' },
    readyCheck(facts),
    facts.leader === null
      ? { name: 'leader', state: 'waiting', detail: 'nobody writes statuses' }
      : { name: 'leader', state: 'ok', detail: facts.leader },
  ];
  if (fleet === null) {
    return [...checks, { name: 'fleet', state: 'waiting', detail: 'no controller shows its pages' }];
  }
  const pods = (component: string) => podsOf(facts.pods, component).length;
  checks.push(followersCheck('proxies', 'table', fleet.proxies, pods('proxy'), fleet.tableGeneration, true));
  if (fleet.planGeneration !== null) {
    checks.push(followersCheck('edges', 'plan', fleet.edges, pods('edge'), fleet.planGeneration, pods('edge') > 0));
    checks.push(addressesCheck(fleet.pools));
  }
  checks.push(problemsCheck(fleet.problems), certificatesCheck(fleet.certificates, nowMs));
  return checks;
}

/** Whether everything works that has to. */
export function isWell(checks: readonly Check[]): boolean {
  return checks.every(({ state }) => state === 'ok' || state === 'note');
}

function kindsCheck({ kinds, fleet }: Facts): Check {
  const missing = Object.keys(ownKinds).filter((kind) => !kinds.includes(kind));
  const needsThem = fleet !== null && fleet.planGeneration !== null;
  if (missing.length === 0) return { name: 'kinds', state: 'ok', detail: `${kinds.join(', ')} are served` };
  const detail = `${missing.join(', ')} ${missing.length > 1 ? 'are' : 'is'} not there`;
  return needsThem
    ? { name: 'kinds', state: 'failed', detail: `${detail}, and --edge needs all` }
    : { name: 'kinds', state: 'ok', detail: `${detail}; only --edge needs them` };
}

function readyCheck({ pods }: Facts): Check {
  const controllers = podsOf(pods, 'controller');
  const ready = controllers.filter(({ isReady }) => isReady).length;
  const detail = `${ready} of ${controllers.length} are ready`;
  if (controllers.length === 0) return { name: 'controllers', state: 'failed', detail: 'there is none' };
  return { name: 'controllers', state: ready === controllers.length ? 'ok' : 'waiting', detail };
}

function followersCheck(
  name: string,
  what: string,
  readers: readonly Reader[],
  podCount: number,
  generation: number,
  mustBe: boolean,
): Check {
  const expected = Math.max(podCount, readers.length);
  const applied = readers.filter(({ appliedGeneration }) => appliedGeneration === generation).length;
  const refusing = readers.find(({ refused }) => refused.length > 0);
  const detail = `${applied} of ${expected} have applied ${what} ${generation}`;
  if (refusing !== undefined) {
    const [first] = refusing.refused;
    return {
      name,
      state: 'failed',
      detail: `${detail}; ${refusing.name} refuses it: ${first?.code}: ${first?.message}`,
    };
  }
  if (expected === 0) return { name, state: mustBe ? 'failed' : 'note', detail: 'there is none' };
  return { name, state: applied === expected ? 'ok' : 'waiting', detail };
}

function addressesCheck(pools: NonNullable<Facts['fleet']>['pools']): Check {
  const families = Object.entries(pools).flatMap(([pool, counts]) =>
    Object.entries(counts).flatMap(([family, count]) => (count === undefined ? [] : [{ pool, family, ...count }])),
  );
  const exhausted = families.filter(({ available }) => available === 0);
  if (families.length === 0) return { name: 'addresses', state: 'note', detail: 'there is no AddressPool' };
  const assigned = families.reduce((sum, each) => sum + each.assigned, 0);
  if (exhausted.length === 0)
    return { name: 'addresses', state: 'ok', detail: `${assigned} assigned, every pool has more` };
  const names = exhausted.map(({ pool, family }) => `${pool} (${family})`).join(', ');
  return { name: 'addresses', state: 'note', detail: `${assigned} assigned, none left in ${names}` };
}

function problemsCheck(problems: NonNullable<Facts['fleet']>['problems']): Check {
  if (problems.length === 0) return { name: 'problems', state: 'ok', detail: 'none' };
  const counts = Map.groupBy(problems, ({ severity, code }) => `${severity} ${code}`);
  const detail = Array.from(counts, ([what, of]) => `${of.length} ${what}`).join(', ');
  return { name: 'problems', state: 'note', detail: `${detail}; Events on the objects say more` };
}

const soonMs = 7 * 86_400_000;

function certificatesCheck(certificates: NonNullable<Facts['fleet']>['certificates'], nowMs: number): Check {
  const ending = certificates.filter(({ notAfterMs }) => notAfterMs - nowMs < soonMs);
  if (ending.length === 0)
    return { name: 'certificates', state: 'ok', detail: `${certificates.length} in use, none ends within a week` };
  const names = ending.map(
    ({ secret, notAfterMs }) => `${secret} ${notAfterMs < nowMs ? 'has expired' : `ends ${dateOf(notAfterMs)}`}`,
  );
  return { name: 'certificates', state: 'note', detail: names.join(', ') };
}

function dateOf(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'never' : date.toISOString();
}
