/** What a scrape says of a metric beside its values, and the labels that each of its samples has. */
interface Family<Label extends string = string> {
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
  readonly labels: readonly Label[];
}

/** The metrics of a process by name: the one place that says what there is. */
export type Families = Readonly<Record<string, Family>>;

type NameIn<F> = keyof F & string;
type LabelsIn<F extends Families, N extends keyof F> = Readonly<Record<F[N]['labels'][number], string>>;

/** Writes families of a register as Prometheus text (exposition format 0.0.4); lines of one stand together below its HELP and TYPE. */
export interface Exposition<F extends Families> {
  /** A metric of one sample without labels. */
  single(name: NameIn<F>, value: number): string;
  rows<N extends NameIn<F>>(name: N, samples: Iterable<readonly [labels: LabelsIn<F, N>, value: number]>): string;
  summaries<N extends NameIn<F>>(
    name: N,
    samples: Iterable<readonly [labels: LabelsIn<F, N>, sum: number, count: number]>,
  ): string;
  /** `counts`: per bucket, not summed up, with one more than there are bounds. */
  histograms<N extends NameIn<F>>(
    name: N,
    bounds: readonly number[],
    samples: Iterable<readonly [labels: LabelsIn<F, N>, counts: Float64Array, sum: number]>,
  ): string;
}

export function exposition<F extends Families>(families: F): Exposition<F> {
  const head = (name: NameIn<F>) => {
    const { type = '', help = '' } = families[name] ?? {};
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  };
  return {
    single: (name, value) => head(name) + line(name, {}, value),

    rows(name, samples) {
      let text = head(name);
      for (const [labels, value] of samples) text += line(name, labels, value);
      return text;
    },

    summaries(name, samples) {
      let text = head(name);
      for (const [labels, sum, count] of samples) {
        text += line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count);
      }
      return text;
    },

    histograms(name, bounds, samples) {
      const steps = [...bounds.map(String), '+Inf'];
      let text = head(name);
      for (const [labels, counts, sum] of samples) {
        let count = 0;
        steps.forEach((le, i) => {
          count += counts[i] ?? 0;
          text += line(`${name}_bucket`, { ...labels, le }, count);
        });
        text += line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count);
      }
      return text;
    },
  };
}

function line(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  const number = value === Number.POSITIVE_INFINITY ? '+Inf' : String(value);
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${number}\n`;
}

function escaped(text: string): string {
  return /[\\"\n]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : text;
}
