import { z } from 'zod';

/** meta/v1 LabelSelector. Empty selects everything. */
export const LabelSelector = z.object({
  matchLabels: z.record(z.string(), z.string()).default({}).describe('Labels that must have exactly these values.'),
  matchExpressions: z
    .array(
      z.object({
        key: z.string().min(1).max(317).describe('Name of the label.'),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How the label is compared.'),
        values: z.array(z.string().max(63)).max(64).default([]).describe('For In and NotIn.'),
      }),
    )
    .max(32)
    .default([])
    .describe('Conditions on labels, all of which must hold.'),
});
export type LabelSelector = z.infer<typeof LabelSelector>;

/** As the API server evaluates it: NotIn holds for objects without the label, too. */
export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const hasLabel = (key: string): boolean => Object.hasOwn(labels, key);
  const isEqual = Object.entries(selector.matchLabels).every(([key, value]) => hasLabel(key) && labels[key] === value);
  return (
    isEqual &&
    selector.matchExpressions.every(({ key, operator, values }) => {
      if (operator === 'Exists') return hasLabel(key);
      if (operator === 'DoesNotExist') return !hasLabel(key);
      const isListed = hasLabel(key) && values.includes(labels[key] ?? '');
      return operator === 'In' ? isListed : !isListed;
    })
  );
}
