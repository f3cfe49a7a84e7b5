import { exposition } from '#kit/exposition.ts';
import { kindsOf } from '#table/contract.ts';
import type { PlanRows } from '#table/plan.ts';
import { planContract } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Announcer } from '../announce/announcer.ts';
import { processFigures } from '../observe/processfigures.ts';
import type { Intake } from '../receive/intake.ts';
import type { DataPlaneFigures } from './dataplane.ts';
import { edgeFamilies } from './families.ts';

const show = exposition(edgeFamilies);

interface EdgeFigures {
  readonly intake: Intake<PlanRows>;
  readonly rules: DataPlaneFigures;
  readonly announcers: readonly Announcer[];
  readonly problems: readonly Problem[];
  readonly conntrack: { readonly count: number; readonly max: number } | null;
}

/** What /metrics of an edge shows. */
export function figuresText({ intake, rules, announcers, problems, conntrack }: EdgeFigures): string {
  const { commit, applied, refused, table } = intake;
  return [
    show.single('sluice_plans_applied_total', applied),
    show.single('sluice_plans_refused_total', refused),
    show.single('sluice_plan_generation', commit?.generation ?? 0),
    show.rows('sluice_plan_info', [[{ hash: commit?.hash ?? '' }, 1]]),
    show.rows(
      'sluice_plan_rows',
      kindsOf(planContract.schemas).map((kind) => [{ kind }, table[kind].size]),
    ),
    show.summaries('sluice_nft_apply_seconds', [[{}, rules.appliedMs / 1_000, rules.applied]]),
    show.single('sluice_nft_last_apply_seconds', rules.lastMs / 1_000),
    show.single('sluice_nft_syncs_total', rules.syncs),
    show.single('sluice_nft_failures_total', rules.failures),
    show.single('sluice_udp_unmoved_packets_total', rules.unmoved),
    ...(conntrack === null
      ? []
      : [
          show.single('sluice_conntrack_flows', conntrack.count),
          show.single('sluice_conntrack_flows_max', conntrack.max),
        ]),
    ...announcers.map((each) => each.figures()),
    show.rows(
      'sluice_problems',
      Map.groupBy(problems, ({ code }) => code)
        .entries()
        .map(([code, of]) => [{ code }, of.length] as const),
    ),
    processFigures(),
  ].join('');
}
