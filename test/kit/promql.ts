/** What a query of Prometheus reads. */
export interface Reading {
  /** Names of series: `…_bucket` and the like are as in the query. */
  metric: string;
  /** Labels that it filters by. */
  labels: readonly string[];
}

/**
 * Series and labels that a query names. Not the whole language: what stands in queries of this project. Throws at what it
 * does not know.
 */
export function readingsOf(query: string): { readings: Reading[]; grouping: string[] } {
  const readings: Reading[] = [];
  const grouping: string[] = [];
  let rest = query.replace(/\[[^\]]*\]/g, ' ');
  while (rest.trim() !== '') {
    rest = rest.trimStart();
    const group = /^(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/.exec(rest);
    const series = /^([a-z_:][\w:]*)\s*(?:\{([^}]*)\})?(?!\s*[\w(])/i.exec(rest);
    const word = /^([a-z_]\w*)/i.exec(rest);
    const other = /^(\d[\d.]*|[-+*/%^()<>=!,]|"[^"]*")/.exec(rest);
    if (group) {
      grouping.push(...(group[2] ?? '').split(',').map((label) => label.trim()));
      rest = rest.slice(group[0].length);
    } else if (word && words.has(word[0])) {
      rest = rest.slice(word[0].length);
    } else if (series) {
      const labels = (series[2] ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g);
      readings.push({ metric: series[1] ?? '', labels: Array.from(labels, ([, label]) => label ?? '') });
      rest = rest.slice(series[0].length);
    } else if (other) {
      rest = rest.slice(other[0].length);
    } else {
      throw new Error(`not understood: ${rest} in ${query}`);
    }
  }
  return { readings, grouping };
}

/** Functions, aggregations and operators that queries of this project use. */
const words = new Set([
  ...['sum', 'min', 'max', 'count', 'topk', 'bottomk', 'rate', 'increase', 'histogram_quantile', 'time', 'absent'],
  ...['and', 'or', 'unless'],
]);
