import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** Where the few secrets live that all replicas must agree on. In a cluster they are Secrets, elsewhere files. */
export interface Store {
  /** null: there is none of this name yet. */
  load(name: string): Promise<Record<string, string> | null>;
  /** Keeps `data` unless somebody was faster, and answers with what is kept. */
  create(name: string, data: Record<string, string>): Promise<Record<string, string>>;
}

/** What is kept under a name, made by `make` if nobody has made it yet. */
export async function loadOrCreate(
  store: Store,
  name: string,
  make: () => Promise<Record<string, string>>,
): Promise<Record<string, string>> {
  return (await store.load(name)) ?? (await store.create(name, await make()));
}

/** One JSON file of mode 0600 per name. */
export function fileStore(folder: string): Store {
  const load = async (name: string) => {
    try {
      return Contents.parse(JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')));
    } catch (error) {
      if (isCode(error, 'ENOENT')) return null;
      throw new Error(`${join(folder, `${name}.json`)} cannot be read: ${reasonOf(error)}`);
    }
  };
  return {
    load,
    async create(name, data) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Written whole under another name first: a crash in between must not leave half a key behind. A link, unlike a
      // rename, fails when somebody else was faster.
      const path = join(folder, `${name}.json`);
      const draft = `${path}.${randomUUID()}`;
      await writeFile(draft, JSON.stringify(data), { mode: 0o600, flush: true });
      try {
        await link(draft, path);
        return data;
      } catch (error) {
        if (!isCode(error, 'EEXIST')) throw error;
        return (await load(name)) ?? data;
      } finally {
        await unlink(draft);
      }
    },
  };
}

/** For one process that needs nothing after it. */
export function memoryStore(): Store {
  const dataByName = new Map<string, Record<string, string>>();
  return {
    load: async (name) => dataByName.get(name) ?? null,
    create: async (name, data) => {
      const kept = dataByName.get(name) ?? data;
      dataByName.set(name, kept);
      return kept;
    },
  };
}

const Contents = z.record(z.string(), z.string());

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Never quotes the file: it holds keys. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return 'it does not hold what Sluice wrote';
}
