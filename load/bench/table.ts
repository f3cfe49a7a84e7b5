export interface Outcome {
  row: string;
  unit: string;
  bar: string;
  cells: readonly {
    name: string;
    value: number;
    spread: readonly [number, number];
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
  for (const outcome of outcomes) {
    const valueFor = (name: string) => outcome.cells.find((cell) => cell.name === name)?.value;
    const cells = names.map((name) => {
      const cell = outcome.cells.find((each) => each.name === name);
      return cell ? `${show(cell.value)} (${show(cell.spread[0])}–${show(cell.spread[1])})` : '–';
    });
    const native = Math.min(
      valueFor('nginx') ?? Number.POSITIVE_INFINITY,
      valueFor('HAProxy') ?? Number.POSITIVE_INFINITY,
    );
    const failed = outcome.cells.reduce((sum, cell) => sum + cell.failed, 0);
    lines.push(
      `| ${outcome.row} | ${outcome.unit} | ${cells.join(' | ')} | ${ratio(valueFor('Sluice'), native)} | ${ratio(valueFor('Sluice'), valueFor('http-proxy-3'))} | ${failed} | ${outcome.bar} |`,
    );
  }
  const missing = [...new Set(outcomes.flatMap((outcome) => outcome.missing))];
  return [...lines, ...missing.map((each) => `\nMissing: ${each}.`)].join('\n');
}

const show = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

function ratio(ours: number | undefined, theirs: number | undefined): string {
  return ours === undefined || theirs === undefined || !Number.isFinite(theirs) ? '–' : (ours / theirs).toFixed(2);
}
