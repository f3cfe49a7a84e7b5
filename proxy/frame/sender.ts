import { frameFlags, frameHeadBytes, frameTypes, mostFrameBytes, plainWindowBytes, settingIds } from './codes.ts';
import { Encoder } from './encoder.ts';
import { Output, writeFrameHead } from './output.ts';
import type { Stream } from './stream.ts';

/** What the sending half tells the session. */
export interface SendEvents<T> {
  /** The output holds something again: it is to be written before this turn of the loop ends. */
  wake(): void;
  /** The output is full: it is to be written now, if the socket takes it. */
  overflow(): void;
  /** END_STREAM is written. */
  sentEnd(stream: Stream<T>): void;
  /** What waited on the stream is written. */
  drained(stream: Stream<T>): void;
}

/**
 * The sending half of a session: everything that it writes goes through here, into one output. What the peer's windows or
 * a full output do not take is copied to its stream and follows in turn, a frame of each stream at a time, so that no
 * stream waits for the end of another.
 */
export class Sender<T> {
  readonly output = new Output();
  readonly encoder = new Encoder();
  /** The connection's window (RFC 9113 §6.9). */
  window = plainWindowBytes;
  /** Of new streams: the peer's SETTINGS_INITIAL_WINDOW_SIZE. */
  streamWindow = plainWindowBytes;
  /** Body bytes written since somebody looked. */
  movedBytes = 0;
  /** DATA frames that had them. */
  movedFrames = 0;
  /** wake() was called since the output was last taken. Kept by the session. */
  isAwake = false;
  readonly #events: SendEvents<T>;
  readonly #round: Stream<T>[] = [];
  #hasReminded = false;

  constructor(events: SendEvents<T>) {
    this.#events = events;
  }

  /** A window has grown: what waits may be sent. */
  windowOpened(): void {
    if (this.#round.length > 0) this.#wake();
  }

  #wake(): void {
    if (this.isAwake) return;
    this.isAwake = true;
    this.#events.wake();
  }

  /** A small frame of which the caller writes the payload. */
  frame(length: number, type: number, flags: number, streamId: number): void {
    this.output.frame(length, type, flags, streamId);
    this.#wake();
  }

  /** @param status 0: trailers. @param lines `name: value` CRLF each, latin1, names in any case */
  head(stream: Stream<T>, status: number, lines: string, isEnd: boolean): void {
    const at = this.#beginBlock(lines.length);
    const { bytes } = this.output;
    const to = status === 0 ? at : this.encoder.status(bytes, at, status);
    this.#endBlock(stream, this.encoder.lines(bytes, to, lines), isEnd);
  }

  /** @param pseudos lines `:name: value` of the pseudo-header fields, in any order */
  request(stream: Stream<T>, pseudos: readonly string[], lines: string, isEnd: boolean): void {
    let length = lines.length;
    for (const line of pseudos) length += line.length;
    let to = this.#beginBlock(length);
    const { bytes } = this.output;
    for (const line of pseudos) to = this.encoder.field(bytes, to, line, line.indexOf(':', 1));
    this.#endBlock(stream, this.encoder.lines(bytes, to, lines), isEnd);
  }

  #beginBlock(lineBytes: number): number {
    const { output } = this;
    // A line of four bytes, the shortest, can grow to fourteen.
    output.reserve(frameHeadBytes + 64 + lineBytes * 4);
    return this.encoder.begin(output.bytes, output.length + frameHeadBytes);
  }

  #endBlock(stream: Stream<T>, end: number, isEnd: boolean): void {
    const { output } = this;
    const start = output.length + frameHeadBytes;
    const length = end - start;
    const flags = isEnd ? frameFlags.endStream : 0;
    if (length <= mostFrameBytes) {
      this.frame(length, frameTypes.headers, flags | frameFlags.endHeaders, stream.id);
      output.length = end;
    } else {
      this.frame(mostFrameBytes, frameTypes.headers, flags, stream.id);
      this.#splitBlock(stream.id, start, end);
    }
    if (isEnd) this.#sentEnd(stream);
  }

  /** A block longer than a frame goes on in CONTINUATION frames: their heads are put in from the last on. */
  #splitBlock(streamId: number, start: number, end: number): void {
    const { output } = this;
    const pieces = Math.ceil((end - start) / mostFrameBytes);
    output.length = end;
    output.reserve(pieces * frameHeadBytes);
    const { bytes } = output;
    for (let piece = pieces - 1; piece > 0; piece--) {
      const from = start + piece * mostFrameBytes;
      const to = Math.min(end, from + mostFrameBytes);
      const at = from + (piece - 1) * frameHeadBytes;
      bytes.copyWithin(at + frameHeadBytes, from, to);
      const flags = piece === pieces - 1 ? frameFlags.endHeaders : 0;
      writeFrameHead(bytes, at, to - from, frameTypes.continuation, flags, streamId);
    }
    output.length = end + (pieces - 1) * frameHeadBytes;
  }

  /** Body bytes; they are the caller's again when this returns. */
  data(stream: Stream<T>, source: Buffer, start: number, end: number, isEnd: boolean): void {
    if (stream.isLocalClosed || stream.isEndPending) return;
    const isBehind = stream.pendingBytes > 0;
    const at = isBehind ? start : this.#write(stream, source, start, end, isEnd);
    if (at === end && !(isBehind && isEnd)) return;
    if (at < end) {
      stream.pending.add(source, at, end);
      stream.pendingBytes += end - at;
    }
    stream.isEndPending = isEnd;
    if (stream.isWaiting) return;
    stream.isWaiting = true;
    this.#round.push(stream);
  }

  /** Fields after the body; the stream ends with them. */
  trailers(stream: Stream<T>, lines: string): void {
    if (stream.isLocalClosed || stream.isEndPending) return;
    if (stream.pendingBytes === 0) {
      this.head(stream, 0, lines, true);
      return;
    }
    // Blocks have to be encoded in the order in which they are sent.
    stream.pendingTrailers = lines;
    stream.isEndPending = true;
  }

  /** Writes what the windows and the output allow. @returns the offset after it */
  #write(stream: Stream<T>, source: Buffer, start: number, end: number, isEnd: boolean): number {
    const { output } = this;
    let at = start;
    for (;;) {
      if (output.isFull) {
        this.#events.overflow();
        if (output.isFull && at < end) return at;
      }
      const left = end - at;
      // A frame without bytes needs no window (RFC 9113 §6.9.1).
      const length = left === 0 ? 0 : Math.min(left, stream.sendWindow, this.window, mostFrameBytes);
      if (length <= 0 && (left > 0 || !isEnd)) return at;
      const isLast = isEnd && length === left;
      this.frame(length, frameTypes.data, isLast ? frameFlags.endStream : 0, stream.id);
      output.length += source.copy(output.bytes, output.length, at, at + length);
      at += length;
      stream.sendWindow -= length;
      this.window -= length;
      this.movedBytes += length;
      if (length > 0) this.movedFrames++;
      if (isLast) this.#sentEnd(stream);
      if (at === end) return at;
    }
  }

  #sentEnd(stream: Stream<T>): void {
    stream.isLocalClosed = true;
    stream.isEndPending = false;
    this.#events.sentEnd(stream);
  }

  /** Sends of what waits, a frame of each stream in turn. To be called before the output is taken. */
  pump(): void {
    const round = this.#round;
    let blocked = 0;
    while (this.window > 0 && blocked < round.length && !this.output.isFull) {
      const stream = round.shift() as Stream<T>;
      if (stream.sendWindow <= 0) {
        blocked++;
        round.push(stream);
        continue;
      }
      blocked = 0;
      if (this.#sendPending(stream)) round.push(stream);
    }
  }

  /** @returns whether more waits */
  #sendPending(stream: Stream<T>): boolean {
    const { output } = this;
    const { pending } = stream;
    const length = Math.min(stream.pendingBytes, stream.sendWindow, this.window, mostFrameBytes);
    const isLast = length === stream.pendingBytes;
    const endsHere = isLast && stream.isEndPending && stream.pendingTrailers === null;
    this.frame(length, frameTypes.data, endsHere ? frameFlags.endStream : 0, stream.id);
    let left = length;
    while (left > 0) {
      const piece = pending.first as Buffer;
      const count = piece.copy(output.bytes, output.length, stream.pendingAt, stream.pendingAt + left);
      output.length += count;
      left -= count;
      stream.pendingAt += count;
      if (stream.pendingAt < piece.length) continue;
      pending.shift();
      stream.pendingAt = 0;
    }
    stream.pendingBytes -= length;
    stream.sendWindow -= length;
    this.window -= length;
    this.movedBytes += length;
    this.movedFrames++;
    if (!isLast) return true;
    stream.isWaiting = false;
    // Whoever hears of the end may use the stream for another at once: nothing of it is looked at afterwards.
    if (endsHere) this.#sentEnd(stream);
    else if (stream.pendingTrailers !== null) this.head(stream, 0, stream.pendingTrailers, true);
    else this.#events.drained(stream);
    return false;
  }

  /** The stream is over: nothing more of it is sent. */
  forget(stream: Stream<T>): void {
    stream.dropPending();
    if (!stream.isWaiting) return;
    stream.isWaiting = false;
    const at = this.#round.indexOf(stream);
    if (at !== -1) this.#round.splice(at, 1);
  }

  reset(streamId: number, code: number): void {
    this.frame(4, frameTypes.rstStream, 0, streamId);
    this.output.word(code);
  }

  /**
   * Says once more how many streams may be open, to a client that opens more than it was told (RFC 9113 §5.1.2): gRPC's OkHttp
   * forgets what comes as its connection is made, and would have calls refused for as long as that lasts.
   */
  remindOfStreams(most: number): void {
    if (this.#hasReminded) return;
    this.#hasReminded = true;
    this.settings([[settingIds.maxConcurrentStreams, most]]);
  }

  /** @param pairs ids and values of settings */
  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.frame(pairs.length * 6, frameTypes.settings, 0, 0);
    const { output } = this;
    for (const [id, value] of pairs) {
      output.bytes[output.length++] = id >>> 8;
      output.bytes[output.length++] = id;
      output.word(value);
    }
  }

  acknowledgeSettings(): void {
    this.frame(0, frameTypes.settings, frameFlags.ack, 0);
  }

  ping(flags: number, payload: Buffer, start: number): void {
    this.frame(8, frameTypes.ping, flags, 0);
    this.output.length += payload.copy(this.output.bytes, this.output.length, start, start + 8);
  }

  goAway(lastStreamId: number, code: number, reason: string): void {
    this.frame(8 + reason.length, frameTypes.goaway, 0, 0);
    this.output.word(lastStreamId);
    this.output.word(code);
    this.output.length += this.output.bytes.write(reason, this.output.length, 'latin1');
  }

  windowUpdate(streamId: number, bytes: number): void {
    this.frame(4, frameTypes.windowUpdate, 0, streamId);
    this.output.word(bytes);
  }
}
