import type { HeaderEdits } from '#table/filter.ts';
import type { CompiledEdits } from './compiled.ts';

/**
 * Fields that frame the message or belong to one connection (RFC 9110 §7.6.1, RFC 9112 §6). The engine writes them itself;
 * a filter that could would be a way to smuggle. The backend's Host is the rewrite filter's.
 */
const untouchable = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const fieldValue = /^[\t\x20-\x7e]*$/;

interface Line {
  readonly name: string;
  readonly text: string;
}

/**
 * Edits of several filters, one after the other, as one. Within a filter: remove, set, add; of two entries of one list that
 * name the same field, the first counts (Gateway API). @returns null when nothing is left to do
 */
export function compileEdits(filters: readonly HeaderEdits[]): CompiledEdits | null {
  const remove = new Set<string>();
  let lines: Line[] = [];
  const take = (name: string) => {
    remove.add(name);
    lines = lines.filter((line) => line.name !== name);
  };
  for (const edits of filters) {
    for (const name of edits.remove) if (isEditable(name)) take(name.toLowerCase());
    for (const line of linesOf(edits.set)) {
      take(line.name);
      lines.push(line);
    }
    lines.push(...linesOf(edits.add));
  }
  if (remove.size === 0 && lines.length === 0) return null;
  return { remove, lines: lines.map((line) => line.text).join('') };
}

function linesOf(entries: HeaderEdits['set']): Line[] {
  const linesByName = new Map<string, Line>();
  for (const { name, value } of entries) {
    const lower = name.toLowerCase();
    const trimmed = value.trim();
    if (!isEditable(name) || !fieldValue.test(trimmed) || linesByName.has(lower)) continue;
    linesByName.set(lower, { name: lower, text: `${name}: ${trimmed}\r\n` });
  }
  return [...linesByName.values()];
}

const isEditable = (name: string) => token.test(name) && !untouchable.has(name.toLowerCase());
