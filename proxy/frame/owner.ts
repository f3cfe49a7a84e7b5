import type { FieldSection, SectionLimits } from './section.ts';
import type { Stream } from './stream.ts';

/** What a session lets its peer do, and says so in its SETTINGS. */
export interface SessionLimits {
  /** Streams that the peer may have open at once. */
  readonly streams: number;
  readonly section: SectionLimits;
  /** Window of a new stream, bytes; it doubles while its reader keeps up. */
  readonly streamWindowBytes: number;
  readonly mostStreamWindowBytes: number;
  /** Body bytes of all streams that may be unread at once. */
  readonly connectionWindowBytes: number;
}

/** Who owns a session hears what happens on it, within the call that made it happen. */
export interface SessionOwner<T> {
  /**
   * A request (to a server) or a response head, interim ones included (to a client). It is well-formed unless it
   * `isTooLarge`: then only the stream is to be believed.
   * @param section is used again when this returns
   */
  headers(stream: Stream<T>, section: FieldSection, isEnd: boolean): void;
  /** Body bytes; they are to be `consumed` when they are done with. */
  data(stream: Stream<T>, bytes: Buffer, start: number, end: number, isEnd: boolean): void;
  /** Fields after the body, which ends with them. */
  trailers(stream: Stream<T>, section: FieldSection): void;
  /** A request was no request, and got no stream. */
  malformed(): void;
  /** The stream is over before its end: the peer said so, or the connection is over. Let go of it. */
  reset(stream: Stream<T>, code: number): void;
  /** The same, because the peer broke a rule on it. */
  broken(stream: Stream<T>, code: number): void;
  /** Our END_STREAM is written; the peer's is still to come. */
  sent(stream: Stream<T>): void;
  /** Both sides have ended the stream. Let go of it. */
  finished(stream: Stream<T>): void;
  /** What waited on the stream is written: its source may go on. */
  drained(stream: Stream<T>): void;
  /** The peer opens no more streams, and has not acted on those of ours above `lastStreamId`. */
  goingAway(lastStreamId: number, code: number): void;
  /** SETTINGS of the peer have come, its first or others; they hold from here. */
  settled(): void;
  /** GOAWAY is written and nothing more is read: every stream is lost; the connection closes once the output is sent. */
  failed(code: number): void;
  /** There is something to be written before this turn of the loop ends. */
  wake(): void;
  /** The output is full: it is to be written now if the socket takes it. */
  overflow(): void;
}
