import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Log } from '#kit/log.ts';

/** An interface answers for its own addresses only, and asks by its own: else every one would answer for an address. */
const wanted = { arp_ignore: '1', arp_announce: '2' } as const;
const Former = z.record(z.enum(['arp_ignore', 'arp_announce']), z.string());

/** Settings of the kernel that interfaces need, and what they were before: for whoever takes an agent off a machine. */
export class ArpSettings {
  readonly #dir: string;
  readonly #log: Log;
  readonly #refused = new Set<string>();

  /** @param runDir where what was before is kept, for as long as the machine runs */
  constructor(runDir: string, log: Log) {
    this.#dir = join(runDir, folder);
    this.#log = log;
  }

  /** Also again: an interface that is made anew, as a bond whose service was restarted, begins with the settings of all. */
  async bring(link: string): Promise<void> {
    try {
      const before = await settingsOf(link);
      if (isWanted(before)) return;
      await mkdir(this.#dir, { recursive: true });
      // The first is what it was before us.
      await writeFile(join(this.#dir, link), JSON.stringify(before), { flag: 'wx' }).catch(() => {});
      for (const name of names) await writeFile(pathOf(link, name), wanted[name]);
      this.#refused.delete(link);
    } catch (error) {
      if (this.#refused.has(link)) return;
      this.#refused.add(link);
      const { code } = error as NodeJS.ErrnoException;
      this.#log.warn({ link, err: code }, 'arp_ignore and arp_announce cannot be set');
    }
  }
}

/** Gives interfaces back what they had. @returns which */
export async function restoreArp(runDir: string): Promise<string[]> {
  const dir = join(runDir, folder);
  const restored: string[] = [];
  for (const link of await readdir(dir).catch(() => [])) {
    try {
      const former = Former.parse(JSON.parse(await readFile(join(dir, link), 'utf8')));
      // What somebody else has set since is none of ours.
      if (!isWanted(await settingsOf(link))) continue;
      for (const name of names) await writeFile(pathOf(link, name), former[name]);
      restored.push(link);
    } catch {
      // The interface is gone, and its settings with it.
    }
  }
  await rm(dir, { recursive: true, force: true });
  return restored;
}

const folder = 'arp';
const names = ['arp_ignore', 'arp_announce'] as const;

async function settingsOf(link: string): Promise<Record<(typeof names)[number], string>> {
  const [ignore, announce] = await Promise.all(names.map((name) => readFile(pathOf(link, name), 'utf8')));
  return { arp_ignore: (ignore ?? '').trim(), arp_announce: (announce ?? '').trim() };
}

function isWanted(settings: Record<(typeof names)[number], string>): boolean {
  return names.every((name) => settings[name] === wanted[name]);
}

function pathOf(link: string, name: string): string {
  return `/proc/sys/net/ipv4/conf/${link}/${name}`;
}
