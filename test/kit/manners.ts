import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { refusedName } from './echo.ts';

export const kinds = ['TCP', 'TLS'] as const;
export type Kind = (typeof kinds)[number];

/** A client whose errors are its own affair. */
export function open(
  kind: Kind,
  port: number,
  options: { name?: string; protocols?: string[]; version?: 'TLSv1.2' } = {},
): Socket {
  const raw = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  raw.on('error', () => {});
  if (kind === 'TCP') return raw;
  const { name = 'a.test', protocols = ['http/1.1'], version } = options;
  const socket = connectTls({
    socket: raw,
    servername: name,
    ALPNProtocols: protocols,
    rejectUnauthorized: false,
    ...(version === undefined ? {} : { maxVersion: version }),
  });
  socket.on('error', () => {});
  return socket;
}

/** What has come so far. */
export function gathered(socket: Socket): { readonly length: number; readonly bytes: Buffer; readonly ended: boolean } {
  const parts: Buffer[] = [];
  const state = {
    length: 0,
    ended: false,
    get bytes() {
      return Buffer.concat(parts);
    },
  };
  socket.on('data', (part: Buffer) => {
    parts.push(part);
    state.length += part.length;
  });
  socket.on('end', () => {
    state.ended = true;
  });
  return state;
}

/** What a client may do to a server that echoes, on either kind of connection. */
export const manners: Readonly<Record<string, (kind: Kind, port: number) => Socket>> = {
  garbage: (_kind, port) => afterConnect(connectTcp(port, '127.0.0.1'), (socket) => socket.write(randomBytes(2_000))),
  'a ClientHello that is cut': (_kind, port) =>
    afterConnect(connectTcp(port, '127.0.0.1'), (socket) =>
      socket.end(Buffer.concat([Buffer.from('16030100f8010000f40303', 'hex'), randomBytes(60)])),
    ),
  'gone at once': (_kind, port) => afterConnect(connectTcp(port, '127.0.0.1'), (socket) => socket.destroy()),
  'reset at once': (_kind, port) => afterConnect(connectTcp(port, '127.0.0.1'), (socket) => socket.resetAndDestroy()),
  'reset in the handshake': (kind, port) => {
    const socket = open(kind, port);
    setImmediate(() => setImmediate(() => socket.destroy()));
    return socket;
  },
  'garbage in the handshake': (kind, port) => {
    const raw = connectTcp(port, '127.0.0.1');
    raw.on('error', () => {});
    if (kind === 'TCP') return raw;
    raw.once('data', () => raw.write(randomBytes(400)));
    return connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {});
  },
  'garbage behind the handshake': (kind, port) => {
    const raw = connectTcp(port, '127.0.0.1');
    raw.on('error', () => {});
    if (kind === 'TCP') return raw;
    return connectTls({ socket: raw, rejectUnauthorized: false })
      .on('error', () => {})
      .once('secureConnect', () => raw.write(randomBytes(400)));
  },
  'no name that is served': (kind, port) => open(kind, port, { name: refusedName }),
  'no protocol that is known': (kind, port) => open(kind, port, { protocols: ['unknown'] }),
  'negotiating anew': (kind, port) => {
    const socket = open(kind, port, { version: 'TLSv1.2' });
    socket.once('secureConnect', () => {
      (socket as unknown as { renegotiate(options: object, done: () => void): void }).renegotiate({}, () => {});
    });
    return socket;
  },
  'not reading': (kind, port) => {
    const socket = open(kind, port).pause();
    socket.write(randomBytes(3_000_000));
    return socket;
  },
  'gone while much is written': (kind, port) => {
    const socket = open(kind, port);
    socket.write(randomBytes(3_000_000));
    socket.once('data', () => socket.destroy());
    return socket;
  },
  'destroyed while it writes': (kind, port) => told(kind, port, 'destroy'),
  'reset while it writes': (kind, port) => told(kind, port, 'reset'),
  'closed while it writes': (kind, port) => told(kind, port, 'close'),
};

function afterConnect(socket: Socket, act: (socket: Socket) => void): Socket {
  socket.on('error', () => {});
  return socket.once('connect', () => act(socket));
}

function told(kind: Kind, port: number, word: string): Socket {
  const socket = open(kind, port).resume();
  socket.write(Buffer.concat([Buffer.from(word), randomBytes(100_000)]));
  return socket;
}
