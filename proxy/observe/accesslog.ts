import { close, constants, fstat, open, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { flowLine, logLine } from './logline.ts';
import type { ExchangeRecord, FlowRecord } from './record.ts';

export interface AccessLogOptions {
  /** `off`, `stdout`, or the path of a file, which is appended to. */
  readonly target: string;
}

/** Lines are kept this long for company, ms. */
const batchMs = 5;
/** So many characters are written without waiting. */
const batchSize = 64 * 1024;
/** More than this waits for nobody: a full disk or a stuck reader of stdout must not cost memory, so lines are dropped. */
const mostWaiting = 4 * 1024 * 1024;
/** After a failure lines wait this long for the next try, ms. */
const retryMs = 1_000;
/** Several workers write to one pipe: only writes up to PIPE_BUF stay in one piece there (POSIX write). */
const pipeSize = 4096;
/** A pipe whose reader is slow is asked again after this, ms. */
const slowReaderMs = 10;
/** A worker that leaves waits no longer than this for its last lines, ms. */
const lastWordsMs = 1_000;

/**
 * The access log of one worker. A request costs the making of its line; one write per few milliseconds never blocks
 * the event loop, as process.stdout.write on a pipe does for as long as its reader is slow. Never throws; what
 * cannot be written is dropped and counted.
 */
export class AccessLog {
  /** Lines that were not written. */
  droppedLines = 0;
  readonly #target: string;
  #lines: string[] = [];
  #waiting = 0;
  #timer: NodeJS.Timeout | null = null;
  /** The one write in progress, or null. */
  #writing: Promise<void> | null = null;
  #file: LogFile | null = null;
  /** A write failed within a line: the next line has to begin a new one. */
  #isMidLine = false;
  #mustReopen = false;
  #isClosed = false;

  constructor(options: AccessLogOptions) {
    this.#target = options.target;
  }

  finished(record: ExchangeRecord): void {
    if (this.#target !== 'off') this.#take(logLine(record));
  }

  flowEnded(record: FlowRecord): void {
    if (this.#target !== 'off') this.#take(flowLine(record));
  }

  #take(line: string): void {
    if (this.#isClosed || this.#waiting > mostWaiting) {
      this.droppedLines++;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    if (this.#writing !== null) return;
    if (this.#waiting >= batchSize) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), batchMs);
  }

  /** The file was moved away by whoever rotates logs: the next write opens the path anew. */
  reopen(): void {
    if (this.#target !== 'stdout') this.#mustReopen = true;
  }

  /** Writes what waits and lets go of the file. What cannot be written at once or within a second is dropped. */
  async close(): Promise<void> {
    this.#isClosed = true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, lastWordsMs);
    });
    await Promise.race([this.#writeLastLines(), patience]);
    clearTimeout(timer);
  }

  async #writeLastLines(): Promise<void> {
    await this.#writing;
    this.#flush();
    await this.#writing;
    this.#stopTimer();
    await this.#closeFile();
  }

  #flush(): void {
    this.#stopTimer();
    if (this.#writing !== null || this.#lines.length === 0) return;
    const lines = this.#lines;
    this.#lines = [];
    this.#waiting = 0;
    this.#writing = this.#write(lines).then((isWritten) => {
      this.#writing = null;
      if (this.#lines.length === 0 || this.#isClosed) return;
      if (isWritten && this.#waiting >= batchSize) this.#flush();
      else this.#timer ??= setTimeout(() => this.#flush(), isWritten ? batchMs : retryMs);
    });
  }

  /** @returns whether all was written; what was not is counted. */
  async #write(lines: readonly string[]): Promise<boolean> {
    let done = 0;
    try {
      if (this.#mustReopen) await this.#closeFile();
      this.#file ??= await openTarget(this.#target);
      while (done < lines.length) {
        const chunk = takeChunk(lines, done, this.#file.chunkSize);
        await this.#writeWhole(this.#file, Buffer.from(this.#isMidLine ? `\n${chunk.text}` : chunk.text));
        done = chunk.end;
      }
      return true;
    } catch {
      // No room, no reader, no such folder: nobody to tell but by the count. Of a chunk that was cut all lines count.
      this.droppedLines += lines.length - done;
      await this.#closeFile();
      return false;
    }
  }

  async #writeWhole(file: LogFile, bytes: Buffer): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      try {
        written += file.canBlock
          ? (await promisify(write)(file.descriptor, bytes, written, bytes.length - written, null)).bytesWritten
          : writeSync(file.descriptor, bytes, written);
        this.#isMidLine = written < bytes.length;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || this.#isClosed) throw error;
        await new Promise((resolve) => setTimeout(resolve, slowReaderMs));
      }
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    this.#mustReopen = false;
    if (file && file.descriptor !== inheritedStdout) await promisify(close)(file.descriptor).catch(() => {});
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

interface LogFile {
  readonly descriptor: number;
  readonly chunkSize: number;
  /** Writes go to the thread pool; those that cannot block are several times cheaper without. */
  readonly canBlock: boolean;
}

const inheritedStdout = 1;

async function openTarget(target: string): Promise<LogFile> {
  const descriptor = target === 'stdout' ? await openStdout() : await promisify(open)(target, 'a', 0o640);
  const isFile = (await promisify(fstat)(descriptor)).isFile();
  const isOwnStdout = target === 'stdout' && descriptor !== inheritedStdout;
  return { descriptor, chunkSize: isFile ? batchSize : pipeSize, canBlock: isFile || !isOwnStdout };
}

/**
 * Stdout through a description of our own, so that not blocking is not forced upon the other processes that share it: a
 * write that blocks would hold a thread of the pool, and the exit of the process, until the reader goes on. A stdout that
 * cannot be opened again (a socket) is used as it is.
 */
function openStdout(): Promise<number> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;
  return promisify(open)('/proc/self/fd/1', flags).catch(() => inheritedStdout);
}

/** Whole lines up to a size; at least one line. */
function takeChunk(lines: readonly string[], start: number, size: number): { text: string; end: number } {
  let text = lines[start] ?? '';
  let end = start + 1;
  for (; end < lines.length; end++) {
    const line = lines[end] as string;
    if (text.length + line.length > size) break;
    text += line;
  }
  return { text, end };
}
