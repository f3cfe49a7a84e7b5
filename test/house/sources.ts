import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

export interface SourceFile {
  /** Path from the project's root, with forward slashes. */
  path: string;
  text: string;
  /** What it imports: files as paths from the root, packages and node: modules by name. */
  imports: readonly string[];
  /** Those that are loaded with the file: no types, and nothing that it loads when it needs it. */
  loads: readonly string[];
}

/** Every TypeScript file below the given top-level folders, and those at the root. */
export function sourceFiles(folders: readonly string[]): SourceFile[] {
  const paths = readdirSync(root).filter((name) => name.endsWith('.ts'));
  for (const folder of folders) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (entry.endsWith('.ts')) paths.push(`${folder}/${entry}`);
    }
  }
  return paths.map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const loaded = text.replace(/import type[^;]*?from\s*'[^']+'/g, '').replace(/\bimport\(\s*'[^']+'\s*\)/g, '');
    return { path, text, imports: importsOf(path, text), loads: importsOf(path, loaded) };
  });
}

const importPattern =
  /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g;
const aliases: Record<string, string> = { '#table/': 'proxy/table/', '#kit/': 'proxy/kit/' };

function importsOf(path: string, text: string): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(importPattern)) {
    const name = match[1] ?? match[2] ?? match[3] ?? '';
    const alias = Object.keys(aliases).find((prefix) => name.startsWith(prefix));
    if (alias) found.push(`${aliases[alias]}${name.slice(alias.length)}`);
    else if (name.startsWith('.')) found.push(relative(root, resolve(root, dirname(path), name)));
    else found.push(name);
  }
  return found;
}

/** `proxy/listen/client.ts` → `proxy/listen`; `proxy/main.ts` → `proxy`. */
export function folderOf(path: string): string {
  return path.split('/').slice(0, -1).slice(0, 2).join('/');
}
