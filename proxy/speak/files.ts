import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of BIRD, within the folder of what outlives an agent. */
export const birdFolder = 'bird';

/** Names within the folder of a BIRD. */
export const files = {
  /** Whom it speaks with, passwords included; what it is started with. */
  main: 'bird.conf',
  /** What it announces. */
  vips: 'vips.conf',
  nextMain: 'bird.next.conf',
  nextVips: 'vips.next.conf',
  socket: 'bird.ctl',
  pid: 'bird.pid',
  log: 'bird.log',
  startLog: 'bird.start.log',
} as const;

/** What a BIRD works by: the texts of its files. `main` is told the name that the other one has. */
export interface Configuration {
  main(vipsFile: string): string;
  vips(): string;
}

/** Beside what is in force, to be checked. Nobody else reads what is in the folder. */
export async function stage(dir: string, { main, vips }: Configuration): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  await writeFile(join(dir, files.nextVips), vips(), { mode: 0o600 });
  await writeFile(join(dir, files.nextMain), main(files.nextVips), { mode: 0o600 });
}

/** What was staged and checked is what BIRD is started with from now on, too. */
export async function promote(dir: string, { main }: Configuration): Promise<void> {
  await rename(join(dir, files.nextVips), join(dir, files.vips));
  await writeFile(join(dir, files.nextMain), main(files.vips), { mode: 0o600 });
  await rename(join(dir, files.nextMain), join(dir, files.main));
}
