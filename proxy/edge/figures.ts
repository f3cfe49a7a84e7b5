import { kindsOf } from '#table/contract.ts';
import type { PlanRows } from '#table/plan.ts';
import { planContract } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Announcer } from '../announce/announcer.ts';
import { Page } from '../observe/page.ts';
import type { Intake } from '../receive/intake.ts';
import type { DataPlaneFigures } from './dataplane.ts';

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
  const { user, system } = process.cpuUsage();
  const page = new Page();
  page.single('sluice_plans_applied_total', 'counter', 'Batches that came into force.', applied);
  page.single('sluice_plans_refused_total', 'counter', 'Batches that were refused.', refused);
  page.single('sluice_plan_generation', 'gauge', "The sender's number of the plan in force.", commit?.generation ?? 0);
  page.family('sluice_plan_info', 'gauge', 'Content hash of the plan in force.');
  page.sample('', { hash: commit?.hash ?? '' }, 1);
  page.family('sluice_plan_rows', 'gauge', 'Rows of the plan in force, by kind.');
  for (const kind of kindsOf(planContract.schemas)) page.sample('', { kind }, table[kind].size);
  page.family('sluice_nft_apply_seconds', 'summary', 'Time that the kernel took for transactions.');
  page.sample('_sum', {}, rules.appliedMs / 1_000);
  page.sample('_count', {}, rules.applied);
  page.single('sluice_nft_last_apply_seconds', 'gauge', 'Time of the last transaction.', rules.lastMs / 1_000);
  page.single('sluice_nft_syncs_total', 'counter', 'Times that the whole table was written.', rules.syncs);
  page.single('sluice_nft_failures_total', 'counter', 'Transactions that nft refused.', rules.failures);
  if (conntrack !== null) {
    page.single('sluice_conntrack_flows', 'gauge', 'Flows that the kernel remembers.', conntrack.count);
    page.single('sluice_conntrack_flows_max', 'gauge', 'Flows that it can remember.', conntrack.max);
  }
  for (const each of announcers) each.figures(page);
  page.family('sluice_problems', 'gauge', 'What is not honoured now, by code.');
  for (const [code, of] of Object.entries(Object.groupBy(problems, ({ code }) => code))) {
    page.sample('', { code }, of?.length ?? 0);
  }
  page.single('process_resident_memory_bytes', 'gauge', 'Memory of the agent.', process.memoryUsage.rss());
  page.single('process_cpu_seconds_total', 'counter', 'CPU time of the agent.', (user + system) / 1e6);
  page.single(
    'process_start_time_seconds',
    'gauge',
    'Start, seconds since 1970.',
    Math.round(performance.timeOrigin) / 1e3,
  );
  return page.text();
}
