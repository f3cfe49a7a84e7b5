import { close, constants, fstat, open, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { writeFlowLine, writeRequestLine } from './logline.ts';
import { LogPage, pageBytes } from './logpage.ts';
import type { ExchangeRecord, FlowRecord } from './record.ts';

export interface AccessLogOptions {
  /** `off`, `stdout`, or the path of a file, which is appended to. */
  readonly target: string;
}

/** Lines are kept this long for company, ms. */
const batchMs = 5;
/**
 * So many bytes are written at once where that cannot block. Few, because a line costs as much again where the bytes under it
 * have left the processor's cache.
 */
const shortBatch = 8 * 1024;
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
  /** Where lines are written as they come; null: nothing waits since the last write. */
  #page: LogPage | null = null;
  readonly #fullPages: LogPage[] = [];
  #sparePage: LogPage | null = null;
  /** Bytes. */
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
    if (this.#target === 'off') return;
    const page = this.#openPage();
    if (page === null) return;
    const start = page.end;
    writeRequestLine(page, record);
    this.#took(page, start);
  }

  flowEnded(record: FlowRecord): void {
    if (this.#target === 'off') return;
    const page = this.#openPage();
    if (page === null) return;
    const start = page.end;
    writeFlowLine(page, record);
    this.#took(page, start);
  }

  /** @returns null: the line is dropped */
  #openPage(): LogPage | null {
    if (this.#isClosed || this.#waiting > mostWaiting) {
      this.droppedLines++;
      return null;
    }
    const page = this.#page;
    if (page !== null && page.end < pageBytes) return page;
    if (page !== null) this.#fullPages.push(page);
    this.#page = this.#sparePage ?? new LogPage();
    this.#sparePage = null;
    return this.#page;
  }

  #took(page: LogPage, start: number): void {
    const bytes = page.end - start;
    this.#waiting += bytes;
    if (this.#writing !== null) return;
    // A line like the last one would be too much.
    if (this.#waiting + bytes > (this.#file?.batchBytes ?? pageBytes)) this.#flush();
    else this.#timer ??= setTimeout(this.#timeIsUp, batchMs);
  }

  readonly #timeIsUp = (): void => {
    this.#timer = null;
    this.#flush();
  };

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
    const last = this.#page;
    if (this.#writing !== null || last === null || last.end === 0) return;
    if (this.#writeNow(last)) return;
    const pages = this.#fullPages.splice(0);
    pages.push(last);
    this.#page = null;
    this.#waiting = 0;
    this.#writing = this.#write(pages).then((isWritten) => {
      this.#writing = null;
      if (last.isUsual) {
        last.clear();
        this.#sparePage = last;
      }
      if (this.#page === null || this.#isClosed) return;
      if (isWritten && this.#waiting >= pageBytes) this.#flush();
      else this.#timer ??= setTimeout(this.#timeIsUp, isWritten ? batchMs : retryMs);
    });
  }

  /** The usual way of what cannot block: no promise, and the same bytes again. @returns false: not all was taken */
  #writeNow(page: LogPage): boolean {
    const file = this.#file;
    if (file === null || file.canBlock || this.#isMidLine || this.#mustReopen || this.#fullPages.length > 0)
      return false;
    try {
      while (page.start < page.end) {
        const end = page.endOfLines(file.chunkBytes);
        page.start += writeSync(file.descriptor, page.bytes, page.start, end - page.start);
        if (page.start < end) return false;
      }
    } catch {
      return false;
    }
    this.#waiting = 0;
    page.clear();
    return true;
  }

  /** @returns whether all was written; what was not is counted. */
  async #write(pages: readonly LogPage[]): Promise<boolean> {
    let written = 0;
    try {
      if (this.#mustReopen) await this.#closeFile();
      this.#file ??= await openTarget(this.#target);
      if (this.#isMidLine) await this.#writeSome(this.#file, endOfLine, 0, 1);
      this.#isMidLine = false;
      for (const page of pages) {
        while (page.start < page.end) await this.#writeLines(this.#file, page);
        written++;
      }
      return true;
    } catch {
      // No room, no reader, no such folder: nobody to tell but by the count. A line that was cut counts, too.
      for (const page of pages.slice(written)) this.droppedLines += page.countLines();
      this.#isMidLine ||= pages[written]?.isWithinLine === true;
      await this.#closeFile();
      return false;
    }
  }

  async #writeLines(file: LogFile, page: LogPage): Promise<void> {
    const end = page.endOfLines(file.chunkBytes);
    while (page.start < end) page.start += await this.#writeSome(file, page.bytes, page.start, end);
  }

  /** @returns how many bytes were written */
  async #writeSome(file: LogFile, bytes: Buffer, start: number, end: number): Promise<number> {
    for (;;) {
      try {
        if (!file.canBlock) return writeSync(file.descriptor, bytes, start, end - start);
        return (await promisify(write)(file.descriptor, bytes, start, end - start, null)).bytesWritten;
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
  /** Written in one piece. */
  readonly chunkBytes: number;
  /** Written without waiting for company. */
  readonly batchBytes: number;
  /** Writes go to the thread pool; those that cannot block are several times cheaper without. */
  readonly canBlock: boolean;
}

const inheritedStdout = 1;
const endOfLine = Buffer.from('\n');

async function openTarget(target: string): Promise<LogFile> {
  const descriptor = target === 'stdout' ? await openStdout() : await promisify(open)(target, 'a', 0o640);
  const stat = await promisify(fstat)(descriptor);
  const isOwnStdout = target === 'stdout' && descriptor !== inheritedStdout;
  const canBlock = stat.isFile() || !isOwnStdout;
  const chunkBytes = stat.isFIFO() ? pipeSize : Number.POSITIVE_INFINITY;
  return { descriptor, chunkBytes, batchBytes: canBlock ? pageBytes : Math.min(chunkBytes, shortBatch), canBlock };
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
