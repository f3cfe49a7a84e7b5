import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { type EdgePlan, emptyPlan, type PlanKind } from '#table/plan.ts';
import { files } from '../../proxy/speak/files.ts';
import { speechOf } from '../../proxy/speak/speech.ts';
import { planRow } from '../kit/plans.ts';

const folder = join(import.meta.dirname, 'speak');

const Case = z.strictObject({
  about: z.string(),
  /** Kinds of rows of a plan, by id; a case says of a row what is not usual. */
  rows: z.record(z.string(), z.record(z.string(), z.looseObject({}))),
  expect: z.unknown().optional(),
});

/** A plan, and what `node-a` is to say by it. */
export interface SpeechCase {
  readonly file: string;
  readonly about: string;
  readonly plan: EdgePlan;
  readonly expected: unknown;
  readonly actual: { readonly peers: string; readonly vips: string; readonly problems: readonly string[] };
  update(): void;
}

export function speechCases(): SpeechCase[] {
  return readdirSync(folder).map((file) => {
    const path = join(folder, file);
    const document = parseDocument(readFileSync(path, 'utf8'));
    const { about, rows, expect: expected } = Case.parse(document.toJS());
    const plan = emptyPlan();
    for (const [kind, byId] of Object.entries(rows)) {
      for (const [id, fields] of Object.entries(byId)) {
        const { row } = planRow(kind as PlanKind, { id, ...fields });
        (plan[kind as PlanKind] as Map<string, typeof row>).set(id, row);
      }
    }
    const { speech, problems } = speechOf(plan, 'node-a');
    const actual = {
      peers: speech.configuration.main(files.vips),
      vips: speech.configuration.vips(),
      problems: problems.map(({ code, message, hint }) => `${code}: ${message} ${hint}`),
    };
    const update = () => {
      document.set('expect', actual);
      writeFileSync(path, document.toString({ lineWidth: 0, flowCollectionPadding: false }));
    };
    return { file, about, plan, expected, actual, update };
  });
}
