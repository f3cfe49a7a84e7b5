import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { buffer as readAll } from 'node:stream/consumers';
import { reasonOf } from '#kit/reason.ts';

/**
 * The text of a file that a person names; `-` is what comes on stdin.
 *
 * @throws when it cannot be read; the message is for a person
 */
export async function inputOf(file: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = file === '-' ? await readAll(process.stdin) : await readFile(file);
  } catch (error) {
    throw new Error(`${file} cannot be read: ${reasonOf(error)}`);
  }
  if (!isUtf8(bytes)) throw new Error(`${file} cannot be read: it is not text in UTF-8`);
  return bytes.toString('utf8');
}
