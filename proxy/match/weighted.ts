/** One of several, drawn by weight. */
export interface Weighted {
  /** Sum of the weights up to and including this one; the last one's is that of all. */
  readonly weightUpTo: number;
}

/** Sums weights up once, so that a draw is one comparison each. */
export function weigh<T extends { readonly weight: number }, U extends object>(
  rows: readonly T[],
  rest: (row: T) => U,
): (U & Weighted)[] {
  let weightUpTo = 0;
  return rows.map((row) => {
    weightUpTo += row.weight;
    return { ...rest(row), weightUpTo };
  });
}

/**
 * @param random 0 ≤ n < 1
 * @returns null when nothing has weight
 */
export function draw<T extends Weighted>(among: readonly T[], random: () => number): T | null {
  const total = among[among.length - 1]?.weightUpTo ?? 0;
  if (total === 0) return null;
  if (among.length === 1) return among[0] ?? null;
  const drawn = random() * total;
  return among.find((each) => drawn < each.weightUpTo) ?? null;
}
