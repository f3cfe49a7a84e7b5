/** A line of a family, given the name of the family. */
export type Sample = (name: string) => string;

/** A family of metrics of the controller in the exposition format 0.0.4 of Prometheus. */
export function family(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  const full = `sluice_controller_${name}`;
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${samples.map((line) => line(full)).join('')}`;
}

export function sample(labels: Readonly<Record<string, string>>, value: number): Sample {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text.replace(/["\\\n]/g, '_')}"`);
  const number = value === Number.POSITIVE_INFINITY ? '+Inf' : String(value);
  return (name) => `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${number}\n`;
}
