import { bucketBounds } from './metrics.ts';

export type Labels = Readonly<Record<string, string>>;

/** Prometheus text in the making (exposition format 0.0.4). A metric's lines stand together below its HELP and TYPE. */
export class Page {
  #name = '';
  readonly #lines: string[] = [];

  family(name: string, type: 'counter' | 'gauge' | 'histogram' | 'summary', help: string): void {
    this.#name = name;
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  /** A metric of one sample without labels. */
  single(name: string, type: 'counter' | 'gauge', help: string, value: number): void {
    this.family(name, type, help);
    this.sample('', {}, value);
  }

  /** `suffix` stands behind the family's name: `_sum`. */
  sample(suffix: string, labels: Labels, value: number): void {
    const written = Object.entries(labels).map(([name, text]) => `${name}="${escapeLabel(text)}"`);
    this.#lines.push(`${this.#name}${suffix}${written.length > 0 ? `{${written.join(',')}}` : ''} ${value}`);
  }

  histogram(name: string, help: string, of: { totals: Float64Array; place: number }): void {
    this.family(name, 'histogram', help);
    let count = 0;
    bucketLabels.forEach((le, i) => {
      count += of.totals[of.place + i] ?? 0;
      this.sample('_bucket', { le }, count);
    });
    this.sample('_sum', {}, of.totals[of.place + bucketLabels.length] ?? 0);
    this.sample('_count', {}, count);
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

const bucketLabels = [...bucketBounds.map(String), '+Inf'];

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : text;
}
