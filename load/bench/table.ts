import { median } from './measure.ts';

export interface Outcome {
  row: string;
  unit: string;
  bar: string;
  cells: readonly {
    name: string;
    value: number;
    /** The value of each round; round n of one peer was taken right beside round n of the others. */
    rounds: readonly number[];
    requestsPerSecond: number;
    p99Ms: number;
    failed: number;
  }[];
  missing: readonly string[];
}

/** One Markdown table: a line a row, a column a peer, then Sluice's ratios. */
export function render(outcomes: readonly Outcome[]): string {
  const names = ['nginx', 'HAProxy', 'Sluice', 'http-proxy-3'];
  const lines = [
    `| row | unit | ${names.join(' | ')} | ÷ better native | ÷ http-proxy-3 | failed | bar |`,
    `|---|---|${names.map(() => '---|').join('')}---|---|---|---|`,
  ];
  for (const { row, unit, bar, cells } of outcomes) {
    const shown = names.map((name) => {
      const cell = cells.find((each) => each.name === name);
      return cell ? `${show(cell.value)} (${show(Math.min(...cell.rounds))}–${show(Math.max(...cell.rounds))})` : '–';
    });
    // The better of the two is the one that makes us look worse.
    const native = Math.max(...['nginx', 'HAProxy'].map((name) => ratio(cells, name)));
    const failed = cells.reduce((sum, cell) => sum + cell.failed, 0);
    const ratios = `${showRatio(native)} | ${showRatio(ratio(cells, 'http-proxy-3'))}`;
    const toOneHost = ratio(cells, 'Sluice, 1 host');
    const found = Number.isFinite(toOneHost) ? ` (÷ Sluice at 1 host: ${showRatio(toOneHost)})` : '';
    lines.push(`| ${row} | ${unit} | ${shown.join(' | ')} | ${ratios} | ${failed} | ${bar}${found} |`);
  }
  const missing = [...new Set(outcomes.flatMap((outcome) => outcome.missing))];
  return [...lines, ...missing.map((each) => `\nMissing: ${each}.`)].join('\n');
}

const show = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

const showRatio = (value: number) => (Number.isFinite(value) ? value.toFixed(2) : '–');

/**
 * Median of the rounds' ratios: neighbours in time share the machine's mood, and it changes within minutes.
 * @returns -Infinity when one of the two is missing
 */
function ratio(cells: Outcome['cells'], other: string): number {
  const ours = cells.find((cell) => cell.name === 'Sluice')?.rounds ?? [];
  const theirs = cells.find((cell) => cell.name === other)?.rounds ?? [];
  if (ours.length === 0 || theirs.length === 0) return Number.NEGATIVE_INFINITY;
  return median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
}
