import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { canBuildGo, findGoProgram } from './goprogram.ts';

/** For the `skip` of a test: false where the program is or can be built. With CI set, a missing Go is a failure. */
export function skipWithoutGo(): string | false {
  if (canBuildGo()) return false;
  const reason = 'needs Go on the PATH';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

function program(): string {
  const version = 'v1.83.2';
  return findGoProgram({
    name: 'grpcgo',
    path: join(import.meta.dirname, 'grpcgo.go'),
    module: 'google.golang.org/grpc',
    version,
  });
}

/** A server of gRPC's Go library. */
export class GrpcGoServer {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(): Promise<GrpcGoServer> {
    const child = spawn(program(), ['serve'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    return new GrpcGoServer(child, Number(line));
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await ended;
  }
}

export interface GrpcGoCall {
  /** talk: each message is answered; expand: the one message by as many as it has bytes; collect: all by one. */
  mode: 'talk' | 'expand' | 'collect';
  /** `host:port`, or `tls:host:port`. */
  address: string;
  messages: number;
  bytes: number;
}

/** One stream of a client of that library. @returns `ok`, or why it failed */
export async function callGrpcGo({ mode, address, messages, bytes }: GrpcGoCall): Promise<string> {
  const args = [mode, address, String(messages), String(bytes)];
  const child = spawn(program(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    said += text;
  });
  await once(child, 'close');
  return said.trim();
}
