import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Delta } from '../receive/changes.ts';
import type { Announcer } from './announcer.ts';

/**
 * Brings a change of the plan to a node: what goes is withdrawn while its rules are there, and what comes is announced when
 * its rules are. So no packet is drawn to a node that does not know what to do with it.
 *
 * @param plan as it is after the change
 * @throws what `applyRules` throws; the caller then comes again with the change that takes this one back
 */
export async function changeInOrder(
  announcers: readonly Announcer[],
  plan: EdgePlan,
  delta: Delta<PlanRows>,
  applyRules: () => Promise<void>,
): Promise<void> {
  await Promise.all(announcers.map((each) => each.withdraw(plan, delta)));
  await applyRules();
  await Promise.all(announcers.map((each) => each.announce(plan, delta)));
}
