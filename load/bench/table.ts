import { median } from './measure.ts';
import type { Bar } from './rows.ts';

export interface Outcome {
  readonly row: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
  readonly cells: readonly Cell[];
  readonly missing: readonly string[];
}

interface Cell {
  readonly name: string;
  readonly value: number;
  /** The value of each round; round n of one peer was taken right beside round n of the others. */
  readonly rounds: readonly number[];
  readonly requestsPerSecond: number;
  readonly failed: number;
}

const columns = ['nginx', 'HAProxy', 'Sluice'];

/** One Markdown table: a line for each figure of a row, a column a peer, then each bar and whether it holds. */
export function render(outcomes: readonly Outcome[]): string {
  const lines = [
    `| row | unit | ${columns.join(' | ')} | others | failed | found (spread of the rounds) | bar | holds |`,
    `|---|---|${columns.map(() => '---|').join('')}---|---|---|---|---|`,
  ];
  for (const { row, unit, cells, bars } of outcomes) {
    const shown = columns.map((name) => showCell(cells.find((each) => each.name === name)));
    const others = cells.filter(({ name }) => !columns.includes(name)).map((cell) => `${cell.name} ${showCell(cell)}`);
    const failed = cells.reduce((sum, cell) => sum + cell.failed, 0);
    const judged = bars.map((bar) => judge(bar, cells));
    const found = judged.map((each) => each.found).join('<br>');
    const told = judged.map((each) => each.bar).join('<br>');
    const holds = judged.map((each) => each.verdict).join('<br>');
    const start = `| ${row} | ${unit} | ${shown.join(' | ')} | ${others.join('<br>') || '–'} | ${failed} `;
    lines.push(`${start}| ${found} | ${told} | ${holds} |`);
  }
  const missing = [...new Set(outcomes.flatMap((outcome) => outcome.missing))];
  return [...lines, ...missing.map((each) => `\nMissing: ${each}.`)].join('\n');
}

interface Judgement {
  readonly found: string;
  readonly bar: string;
  readonly verdict: 'yes' | 'yes, and the aim' | 'no' | '–';
}

/** The figure is that of the first Sluice. A ratio is the median of those of the rounds: neighbours share the machine's mood. */
function judge(bar: Bar, cells: readonly Cell[]): Judgement {
  const ours = cells.find(({ name }) => name.startsWith('Sluice'));
  if (ours === undefined) return { found: '–', bar: '–', verdict: '–' };
  if ('least' in bar) return absolute(ours, `≥ ${bar.least}`, ours.value >= bar.least);
  if (!('to' in bar)) return absolute(ours, `≤ ${bar.most}`, ours.value <= bar.most);
  const theirs = cells.filter(({ name }) => bar.to.includes(name));
  const names = bar.to.length > 1 ? `better of ${bar.to.join(', ')}` : bar.to.join('');
  if (theirs.length === 0) return { found: '–', bar: names, verdict: '–' };
  if ('more' in bar) {
    const { middle, text } = compare(ours, theirs, (us, them) => us - them);
    return { found: text, bar: `≤ ${names} + ${bar.more}`, verdict: middle <= bar.more ? 'yes' : 'no' };
  }
  const { middle, text } = compare(ours, theirs, (us, them) => us / them);
  const hasAim = bar.aim !== undefined && middle <= bar.aim;
  const most = Number.isFinite(bar.most) ? `≤ ${bar.most} × ` : '';
  const aim = bar.aim === undefined ? '' : `${most ? ' ' : ''}(aim ${bar.aim})`;
  return {
    found: text,
    bar: `${most}${names}${aim}`,
    verdict: hasAim ? 'yes, and the aim' : middle <= bar.most ? 'yes' : 'no',
  };
}

function absolute(ours: Cell, bar: string, holds: boolean): Judgement {
  return { found: show(ours.value), bar, verdict: holds ? 'yes' : 'no' };
}

/** The better one is the one that makes us look worse. */
function compare(ours: Cell, theirs: readonly Cell[], by: (us: number, them: number) => number) {
  const all = theirs.map(({ rounds }) => ours.rounds.map((value, round) => by(value, rounds[round] ?? Number.NaN)));
  const worst = all.toSorted((a, b) => median(b) - median(a))[0] as number[];
  const middle = median(worst);
  return {
    middle,
    text: `${middle.toFixed(2)} (${Math.min(...worst).toFixed(2)}–${Math.max(...worst).toFixed(2)})`,
  };
}

function showCell(cell: Cell | undefined): string {
  return cell === undefined
    ? '–'
    : `${show(cell.value)} (${show(Math.min(...cell.rounds))}–${show(Math.max(...cell.rounds))})`;
}

const show = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1));
