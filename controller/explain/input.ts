import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { reasonOf } from '#kit/reason.ts';

/**
 * The text of a file that a person names; `-` is what comes on stdin.
 *
 * @throws when it cannot be read; the message is for a person
 */
export async function inputOf(file: string): Promise<string> {
  try {
    return file === '-' ? await readAll(process.stdin) : await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${reasonOf(error)}`);
  }
}
