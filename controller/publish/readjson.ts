import type { IncomingMessage } from 'node:http';

/**
 * The JSON that a request carries; undefined: it is none, or longer than `mostBytes`, and then the rest is not read.
 *
 * @throws when the connection breaks
 */
export async function readJson(request: IncomingMessage, mostBytes: number): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > mostBytes) return undefined;
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}
