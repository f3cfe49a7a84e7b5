import { frameFlags, frameTypes, preface } from '../../proxy/frame/codes.ts';
import { Encoder } from '../../proxy/frame/encoder.ts';
import { frame, readFrames, SessionEnd } from './h2pair.ts';

export const get = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
export const post = [':method: POST', ...get.slice(1)];

/** A server to which frames are sent by hand. */
export function rig(): { server: SessionEnd; send: (...frames: Buffer[]) => string[] } {
  const server = new SessionEnd('server');
  server.receive(Buffer.concat([preface, frame(frameTypes.settings, 0, 0)]));
  server.takeOutput();
  server.takeEvents();
  return {
    server,
    send(...frames) {
      for (const each of frames) server.receive(each);
      return server.takeEvents();
    },
  };
}

export function block(lines: readonly string[], encoder = new Encoder()): Buffer {
  const target = Buffer.alloc(65_536);
  let at = 0;
  for (const line of lines) at = encoder.field(target, at, line, line.indexOf(':', 1));
  return Buffer.from(target.subarray(0, at));
}

export const bothEnds = frameFlags.endHeaders | frameFlags.endStream;

export function headers(streamId: number, lines = get, flags: number = bothEnds): Buffer {
  return frame(frameTypes.headers, flags, streamId, block(lines));
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The answers of a server as `type streamId code`. */
export function said(server: SessionEnd): string[] {
  const names = Object.entries(frameTypes);
  return readFrames(server.takeOutput()).map(({ type, streamId, payload }) => {
    const name = names.find(([, value]) => value === type)?.[0] ?? type;
    if (type === frameTypes.rstStream) return `${name} ${streamId} ${payload.readUInt32BE(0)}`;
    if (type === frameTypes.goaway) return `${name} ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)}`;
    return `${name} ${streamId}`;
  });
}
