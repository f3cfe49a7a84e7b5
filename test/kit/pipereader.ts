import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** Run as a process by observe.test.ts: reads a pipe to its end, and tells its parent how many lines were no JSON. */
const input = createReadStream(process.argv[2] ?? '');
input.once('open', () => process.send?.('open'));
let lines = 0;
let bad = 0;
for await (const line of createInterface({ input })) {
  lines++;
  try {
    JSON.parse(line);
  } catch {
    bad++;
  }
}
process.send?.({ lines, bad }, () => process.exit(0));
