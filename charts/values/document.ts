import { stringify } from 'yaml';
import { z } from 'zod';
import { markdownTable } from '../../controller/annotations/markdown.ts';
import { Values } from './values.ts';

interface Schema {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  default?: unknown;
  [keyword: string]: unknown;
}

/** values.schema.json: what Helm holds values against. */
export function schemaDocument(): string {
  return `${JSON.stringify({ title: 'Values of the chart sluice', ...schemaOfValues() }, null, 2)}\n`;
}

/** values.yaml: every value with its default, and what it is for. */
export function valuesDocument(): string {
  const head = ['# Generated from charts/values; do not edit.', '# The same as a table: README.md.', ''];
  return [...head, ...linesOf(schemaOfValues(), 0)].join('\n').trimEnd().concat('\n');
}

/** README.md of the chart. */
export function readmeDocument(): string {
  const rows = rowsOf(schemaOfValues(), '');
  return [...introduction, ...markdownTable([['Key', 'Default', 'Meaning'], ...rows]), ''].join('\n');
}

const introduction = [
  '# Chart of Sluice',
  '',
  'Generated from charts/values; do not edit.',
  '',
  'Controllers, proxies, and with `edge.enabled` an agent on each node that gives addresses to Services of type LoadBalancer.',
  '',
  '<!-- not run: needs a cluster -->',
  '',
  '```sh',
  'helm install sluice charts/sluice --namespace sluice --create-namespace',
  'helm test sluice --namespace sluice',
  '```',
  '',
  'Where ingress-nginx has a key for the same, it has the same name: `controller.config`, `controller.ingressClassResource`,',
  '`tcp`, `udp` and so on; what concerns the pods that carry traffic is below `proxy`. A key that does not exist is an error.',
  '',
];

function schemaOfValues(): Schema {
  return z.toJSONSchema(Values, { io: 'input', target: 'draft-7' }) as Schema;
}

function linesOf({ properties = {} }: Schema, depth: number): string[] {
  return Object.entries(properties).flatMap(([key, field]) => {
    const indent = '  '.repeat(depth);
    const comment = wrapped(field.description ?? '', 116 - indent.length).map((line, index) => {
      return `${indent}# ${index === 0 ? '-- ' : ''}${line}`;
    });
    const value = isGroup(field)
      ? [`${indent}${key}:`, ...linesOf(field, depth + 1)]
      : // Helm reads YAML 1.1, in which off is a switch.
        stringify({ [key]: field.default ?? null }, { lineWidth: 0, version: '1.1' })
          .trimEnd()
          .split('\n')
          .map((line) => `${indent}${line}`);
    return [...comment, ...value, ...(depth === 0 ? [''] : [])];
  });
}

function rowsOf({ properties = {} }: Schema, path: string): string[][] {
  return Object.entries(properties).flatMap(([key, field]) => {
    const at = `${path}${key}`;
    if (isGroup(field)) return rowsOf(field, `${at}.`);
    return [[`\`${at}\``, `\`${JSON.stringify(field.default ?? null)}\``, field.description ?? '']];
  });
}

function isGroup({ properties }: Schema): boolean {
  return properties !== undefined;
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
