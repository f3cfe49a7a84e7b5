import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { reasonOf } from '#kit/reason.ts';
import type { Cluster } from '../watch/api.ts';
import { checksOf } from './checks.ts';
import { type FactsOptions, gatherFacts } from './facts.ts';
import { type Pod, readPage, readText } from './pods.ts';
import { scrubbed } from './scrub.ts';
import { tarOf } from './tar.ts';

/**
 * Collects what an installation says of itself, for somebody who is to help: pages, metrics, versions, the last lines of logs.
 *
 * @param version of this program
 * @returns texts by path, without keys, tokens and passwords
 */
export async function collectReport(
  cluster: Cluster,
  options: FactsOptions,
  version: string,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const keep = async (path: string, text: () => Promise<string>) => {
    const found = await text().catch((error: unknown) => `(not available: ${reasonOf(error)})\n`);
    files.set(path.replace(/[^\w./-]/g, '_').slice(-90), scrubbed(found));
  };
  const facts = await gatherFacts(cluster, options);
  files.set('versions.json', json({ report: version, kubernetes: facts.version, failure: facts.failure }));
  files.set('status.json', json(checksOf(facts, Date.now())));
  files.set('pods.json', json(facts.pods));
  for (const pod of facts.pods) {
    const folder = `${pod.component}/${pod.name}`;
    for (const page of pagesOf(pod.component)) await keep(`${folder}${page}.txt`, () => readPage(cluster, pod, page));
    for (const { name } of pod.containers) await keep(`${folder}/log.${name}.txt`, () => logOf(cluster, pod, name));
  }
  return files;
}

/** Writes them to a folder, or into one file where the path ends in .tar.gz or .tgz. */
export async function writeReport(files: ReadonlyMap<string, string>, path: string): Promise<void> {
  if (/\.(tar\.gz|tgz)$/.test(path)) {
    await writeFile(path, gzipSync(tarOf(files, Date.now())), { mode: 0o600 });
    return;
  }
  for (const [name, text] of files) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text, { mode: 0o600 });
  }
}

const pages: Readonly<Record<string, readonly string[]>> = {
  controller: ['/metrics', '/problems', '/proxies', '/edges', '/addresses'],
  proxy: ['/metrics', '/problems', '/tables', '/endpoints', '/connections'],
  edge: ['/metrics', '/problems', '/plan', '/status'],
};

function pagesOf(component: string): readonly string[] {
  return pages[component] ?? [];
}

const logLines = 1_000;

function logOf(cluster: Cluster, { namespace, name }: Pod, container: string): Promise<string> {
  const query = new URLSearchParams({ container, tailLines: String(logLines) });
  return readText(cluster, `/api/v1/namespaces/${namespace}/pods/${name}/log?${query}`);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
