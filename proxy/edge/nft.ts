import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { startTool } from './tool.ts';

/** nft has read its input, and does not do it. */
export class NftRefused extends Error {}

/**
 * Runs nft and takes what it writes. It is started for each transaction: that costs 2 ms of the 16 that one takes, and an
 * nft that stays would hold a copy of everybody's tables.
 * @param input what it reads with `-f -`, in pieces: they are never in memory as one text
 * @throws NftRefused with its first complaint; another error when it is missing, cannot begin, or has not answered for a minute
 */
export async function runNft(args: readonly string[], input: readonly string[] = []): Promise<string> {
  const child = startTool('nft', args, { stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' });
  if (child instanceof Error) throw new Error(`nft cannot be started: ${(child as NodeJS.ErrnoException).code}`);
  const output: Buffer[] = [];
  const complaints: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => {
    if (complaints.length < maxComplaints) complaints.push(chunk);
  });
  // It may end before it has read everything; its exit says why.
  if (child.stdin) pipeline(Readable.from(input), child.stdin).catch(() => {});
  const { promise, resolve, reject } = Promise.withResolvers<number | string>();
  child.on('error', reject);
  child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  const end = await promise.catch((error: NodeJS.ErrnoException) => {
    throw new Error(error.code === 'ENOENT' ? 'nft is not installed' : `nft cannot be started: ${error.code}`);
  });
  if (end === 0) return Buffer.concat(output).toString('utf8');
  const [line = ''] = Buffer.concat(complaints).toString('utf8').trim().split('\n');
  if (line === '') throw new Error(`nft ended with ${end}`);
  throw new NftRefused(`nft: ${line.slice(0, maxLength)}`);
}

const timeoutMs = 60_000;
const maxComplaints = 16;
const maxLength = 300;
