import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** Counts the bytes of a body that passes, without keeping any. */
export interface FlowReport {
  /** Body bytes that arrived at the far end. */
  bytes: number;
  /** Every byte was the one that was sent. */
  isIntact: boolean;
}

/** Where a body goes to or comes from: a host behind a port of the gateway. */
export interface FlowTarget {
  port: number;
  host: string;
  isTls?: boolean;
}

const block = Buffer.alloc(1 << 20, 'sluice carries this line without looking at it\n');

/**
 * A backend for bodies of any size: `GET /down?<bytes>` answers with that many, `POST /up` counts what comes and
 * answers with the count. One request per connection. It keeps nothing, and stops reading or writing when the other
 * side does.
 */
export async function startFlowBackend(): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (head: Buffer) => void serve(socket, head));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Sends a body of `bytes` through the gateway, as fast as it is taken; the count that the backend answers. */
export async function upload(target: FlowTarget, bytes: number): Promise<number> {
  const socket = await open(target);
  const answer = collect(socket);
  socket.write(`POST /up HTTP/1.1\r\nHost: ${target.host}\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`);
  await pour(socket, bytes);
  const text = await answer;
  return Number(text.split('\r\n\r\n')[1]);
}

/**
 * Reads a body of `bytes` through the gateway.
 *
 * @param pause after this many bytes the client stops reading until `resume` settles; null: it never stops
 */
export async function download(
  target: FlowTarget,
  bytes: number,
  pause: { atBytes: number; resume: () => Promise<void> } | null = null,
): Promise<FlowReport> {
  const socket = await open(target);
  socket.write(`GET /down?${bytes} HTTP/1.1\r\nHost: ${target.host}\r\nConnection: close\r\n\r\n`);
  const report: FlowReport = { bytes: 0, isIntact: true };
  let isPausePending = pause !== null;
  let head = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    let body = chunk;
    if (!head.includes('\r\n\r\n')) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) continue;
      body = Buffer.from(head.slice(end + 4), 'latin1');
      head = head.slice(0, end + 4);
    }
    report.isIntact &&= isPartOfBlock(body, report.bytes);
    report.bytes += body.length;
    if (pause !== null && isPausePending && report.bytes >= pause.atBytes) {
      isPausePending = false;
      await pause.resume();
    }
  }
  return report;
}

async function open({ port, host, isTls }: FlowTarget): Promise<Socket> {
  const socket = isTls
    ? connectTls({ port, host: '127.0.0.1', servername: host, rejectUnauthorized: false })
    : connect({ port, host: '127.0.0.1' });
  await once(socket, isTls ? 'secureConnect' : 'connect');
  return socket;
}

async function serve(socket: Socket, first: Buffer): Promise<void> {
  const text = first.toString('latin1');
  const down = /^GET \/down\?(\d+) /.exec(text);
  if (down?.[1] !== undefined) {
    socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${down[1]}\r\n\r\n`);
    await pour(socket, Number(down[1]));
    socket.end();
    return;
  }
  const expected = Number(/content-length: *(\d+)/i.exec(text)?.[1]);
  let bytes = first.length - text.indexOf('\r\n\r\n') - 4;
  const reply = () => {
    if (bytes < expected) return;
    const count = String(bytes);
    socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${count.length}\r\n\r\n${count}`);
  };
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    reply();
  });
  reply();
}

/** Writes `bytes` of the repeated block, waiting for drain whenever the socket is full. */
async function pour(socket: Socket, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += block.length) {
    const part = bytes - sent >= block.length ? block : block.subarray(0, bytes - sent);
    if (!socket.write(part)) await writable(socket);
  }
}

/** Settles when the socket takes more, or never will. */
function writable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

async function collect(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString('latin1');
  return text;
}

function isPartOfBlock(part: Buffer, offset: number): boolean {
  for (let done = 0; done < part.length; ) {
    const start = (offset + done) % block.length;
    const length = Math.min(part.length - done, block.length - start);
    if (part.compare(block, start, start + length, done, done + length) !== 0) return false;
    done += length;
  }
  return true;
}
