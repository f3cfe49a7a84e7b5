import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Bird } from './bird.ts';
import { birdFolder } from './files.ts';

/** Ends the BIRD that an agent has left, so that routers are told that its routes go. @returns whether there was one */
export async function silenceBird(runDir: string): Promise<boolean> {
  const dir = join(runDir, birdFolder);
  const bird = new Bird({ dir, onUp: () => {}, restartDelayMs: () => 0, log: quiet });
  const isThere = await bird.find();
  await bird.end();
  await rm(dir, { recursive: true, force: true });
  return isThere;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
