/** What a page of metrics says, by the name of the series: `…_bucket` and the like have names of their own. */
export interface Scraped {
  /** Of families: name and type. */
  readonly typesByFamily: ReadonlyMap<string, string>;
  readonly samples: readonly {
    readonly metric: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

/** Reads the exposition format strictly; throws at a line that is none. */
export function readScrape(text: string): Scraped {
  const typesByFamily = new Map<string, string>();
  const samples: { metric: string; labels: Record<string, string>; value: number }[] = [];
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\w+) (counter|gauge|histogram|summary)$/.exec(line);
    const sample = /^([a-z_]\w*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (type) {
      if (typesByFamily.has(type[1] ?? '')) throw new Error(`twice: ${line}`);
      typesByFamily.set(type[1] ?? '', type[2] ?? '');
    } else if (sample) {
      const pairs = (sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
      const labels = Object.fromEntries(Array.from(pairs, ([, name, value]) => [name, value]));
      samples.push({ metric: sample[1] ?? '', labels, value: Number(sample[3]?.replace('+Inf', 'Infinity')) });
    } else if (line !== '' && !/^# HELP \w+ \S/.test(line)) {
      throw new Error(`not of the format: ${line}`);
    }
  }
  return { typesByFamily, samples };
}
