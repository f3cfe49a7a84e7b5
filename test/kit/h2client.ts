import { errorCodes, frameFlags, frameTypes, preface } from '../../proxy/frame/codes.ts';
import { Decoder } from '../../proxy/frame/decoder.ts';
import { Encoder } from '../../proxy/frame/encoder.ts';
import { FieldSection, sectionKinds } from '../../proxy/frame/section.ts';
import { frame, type ReadFrame, readFrames } from './h2pair.ts';
import { RawClient, type RawClientOptions } from './rawclient.ts';
import { waitUntil } from './wait.ts';

/** What came on one stream so far. */
export interface H2Answer {
  /** Interim ones first, the final one last. */
  statuses: number[];
  /** Lines of the final head and of trailers. */
  lines: string[];
  body: Buffer;
  /** END_STREAM came. */
  isEnded: boolean;
  /** Code of RST_STREAM; null without. */
  reset: number | null;
}

/** An HTTP/2 client that sends the frames that it is told to, well-formed or not. */
export class H2Client {
  readonly client: RawClient;
  readonly encoder = new Encoder();

  private constructor(client: RawClient) {
    this.client = client;
  }

  static async open(options: RawClientOptions): Promise<H2Client> {
    const tls = options.tls === undefined ? {} : { tls: { ALPNProtocols: ['h2'], ...options.tls } };
    return new H2Client(await RawClient.open({ ...options, ...tls }));
  }

  /** Preface and SETTINGS. @param settings pairs of id and value */
  greet(...settings: [id: number, value: number][]): void {
    const payload = Buffer.alloc(settings.length * 6);
    settings.forEach(([id, value], i) => {
      payload.writeUInt16BE(id, i * 6);
      payload.writeUInt32BE(value, i * 6 + 2);
    });
    this.client.send(Buffer.concat([preface, frame(frameTypes.settings, 0, 0, payload)]));
  }

  send(...frames: Buffer[]): void {
    this.client.send(Buffer.concat(frames));
  }

  /** HEADERS of a request. @param lines `name: value`, pseudo-header fields first */
  headers(streamId: number, lines: readonly string[], isEnd = true): Buffer {
    const target = Buffer.alloc(65_536);
    let at = 0;
    for (const line of lines) at = this.encoder.field(target, at, line, line.indexOf(':', 1));
    const flags = frameFlags.endHeaders | (isEnd ? frameFlags.endStream : 0);
    return frame(frameTypes.headers, flags, streamId, Buffer.from(target.subarray(0, at)));
  }

  get frames(): ReadFrame[] {
    return readFrames(this.client.received);
  }

  /** Code of the first GOAWAY that names an error; null without. */
  get failure(): number | null {
    const goaway = this.frames.find(({ type, payload }) => type === frameTypes.goaway && payload.readUInt32BE(4) !== 0);
    return goaway === undefined ? null : goaway.payload.readUInt32BE(4);
  }

  get isOver(): boolean {
    return this.failure !== null || this.client.isDone;
  }

  answer(streamId: number): H2Answer {
    const answer: H2Answer = { statuses: [], lines: [], body: Buffer.alloc(0), isEnded: false, reset: null };
    const decoder = new Decoder();
    const parts: Buffer[] = [];
    for (const each of this.frames) {
      if (each.type === frameTypes.headers) {
        const isTrailer = each.streamId === streamId && answer.statuses.some((status) => status >= 200);
        section.begin(isTrailer ? sectionKinds.trailers : sectionKinds.response, { listBytes: 65_536, fields: 250 });
        if (!decoder.decode(each.payload, 0, each.payload.length, section)) throw new Error('a broken field block');
        section.end();
        if (each.streamId !== streamId) continue;
        if (section.isMalformed) throw new Error('a malformed answer');
        if (!isTrailer) answer.statuses.push(section.status);
        answer.lines.push(...section.head.text.split('\r\n').filter((line) => line !== ''));
      }
      if (each.streamId !== streamId) continue;
      if (each.type === frameTypes.data) parts.push(each.payload);
      if (each.type === frameTypes.rstStream) answer.reset = each.payload.readUInt32BE(0);
      const canEnd = each.type === frameTypes.headers || each.type === frameTypes.data;
      if (canEnd && (each.flags & frameFlags.endStream) !== 0) answer.isEnded = true;
    }
    answer.body = Buffer.concat(parts);
    return answer;
  }

  /** Waits until a stream, or the connection, is over. */
  async answered(streamId: number): Promise<H2Answer> {
    let seen = -1;
    await waitUntil(() => {
      if (seen === this.client.receivedBytes && !this.client.isDone) return false;
      seen = this.client.receivedBytes;
      const { isEnded, reset } = this.answer(streamId);
      return isEnded || reset !== null || this.isOver;
    }, `an answer on stream ${streamId}`);
    return this.answer(streamId);
  }

  /** Waits until everything that was sent so far has been looked at: a PING came back, or the connection is over. */
  async settled(): Promise<void> {
    const payload = Buffer.from(`ping${String(++pings).padStart(4, '0')}`);
    this.send(frame(frameTypes.ping, 0, 0, payload));
    await waitUntil(
      () =>
        this.isOver || this.frames.some(({ type, payload: echo }) => type === frameTypes.ping && echo.equals(payload)),
      'a PING to come back',
    );
  }

  destroy(): void {
    this.client.destroy();
  }
}

let pings = 0;
const section = new FieldSection();

/** `close`, `rst` or the final status of a stream: what the corpus calls an answer. */
export function outcomeOf(client: H2Client, streamId: number): number | 'rst' | 'close' | 'open' {
  const answer = client.answer(streamId);
  const status = answer.statuses.at(-1);
  if (status !== undefined && status >= 200) return status;
  if (answer.reset !== null && answer.reset !== errorCodes.noError) return 'rst';
  return client.isOver ? 'close' : 'open';
}
