import type { SessionLimits, SessionOwner } from '../../proxy/frame/owner.ts';
import type { FieldSection } from '../../proxy/frame/section.ts';
import { Session } from '../../proxy/frame/session.ts';
import type { Stream } from '../../proxy/frame/stream.ts';

export const sessionLimits: SessionLimits = {
  streams: 100,
  section: { listBytes: 32_768, fields: 100 },
  streamWindowBytes: 65_535,
  mostStreamWindowBytes: 1_048_576,
  connectionWindowBytes: 9_437_184,
};

/** One end of a connection without a socket: keeps what it is told, as lines. */
export class SessionEnd implements SessionOwner<string> {
  readonly session: Session<string>;
  readonly events: string[] = [];
  /** Bodies by stream. */
  readonly bodies = new Map<number, string>();
  readonly streams = new Map<number, Stream<string>>();
  /** Takes body bytes as they come. */
  isReading = true;
  onHeaders: (stream: Stream<string>, isEnd: boolean) => void = () => {};
  nowMs = 0;

  constructor(role: 'client' | 'server', limits: Partial<SessionLimits> = {}) {
    this.session = new Session(role, this, { ...sessionLimits, ...limits }, 0);
  }

  headers(stream: Stream<string>, section: FieldSection, isEnd: boolean): void {
    this.streams.set(stream.id, stream);
    const first = section.status === 0 ? `${section.method} ${section.path}` : String(section.status);
    this.events.push(`${stream.id} headers ${section.isTooLarge ? 'too large' : first}${isEnd ? ' end' : ''}`);
    this.onHeaders(stream, isEnd);
  }

  data(stream: Stream<string>, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    this.bodies.set(stream.id, (this.bodies.get(stream.id) ?? '') + bytes.toString('latin1', start, end));
    if (this.isReading) this.session.consumed(stream, end - start);
    if (isEnd) this.events.push(`${stream.id} end`);
  }

  trailers(stream: Stream<string>, section: FieldSection): void {
    this.events.push(`${stream.id} trailers ${section.head.text.trim()}`);
  }

  malformed(): void {
    this.events.push('malformed');
  }

  broken(stream: Stream<string>, code: number): void {
    this.reset(stream, code);
  }

  reset(stream: Stream<string>, code: number): void {
    this.events.push(`${stream.id} reset ${code}`);
    this.streams.delete(stream.id);
  }

  sent(): void {}

  finished(stream: Stream<string>): void {
    this.events.push(`${stream.id} finished`);
    this.streams.delete(stream.id);
  }

  drained(stream: Stream<string>): void {
    this.events.push(`${stream.id} drained`);
  }

  goingAway(lastStreamId: number, code: number): void {
    this.events.push(`going away ${lastStreamId} ${code}`);
  }

  settled(): void {
    this.events.push('settled');
  }

  failed(code: number): void {
    this.events.push(`failed ${code}`);
  }

  wake(): void {}

  overflow(): void {}

  /** Everything that is to be sent now. */
  takeOutput(): Buffer {
    this.session.pump();
    const bytes = Buffer.from(this.session.output.view());
    this.session.output.release();
    return bytes;
  }

  receive(bytes: Buffer): void {
    this.session.receive(bytes, 0, bytes.length, this.nowMs);
  }

  takeEvents(): string[] {
    return this.events.splice(0);
  }
}

/** Carries bytes between two ends until neither has any. */
export function settle(one: SessionEnd, other: SessionEnd): void {
  for (;;) {
    const there = one.takeOutput();
    const back = other.takeOutput();
    if (there.length === 0 && back.length === 0) return;
    other.receive(there);
    one.receive(back);
  }
}

/** A frame as bytes (RFC 9113 §4.1). */
export function frame(type: number, flags: number, streamId: number, payload: Buffer | string = ''): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, bytes]);
}

export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Whole frames at the beginning of the bytes. */
export function readFrames(bytes: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = [];
  let at = 0;
  while (at + 9 <= bytes.length) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const [type, flags] = [bytes[at + 3] as number, bytes[at + 4] as number];
    frames.push({
      type,
      flags,
      streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}
