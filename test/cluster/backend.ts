import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createH2Server, type ServerHttp2Stream } from 'node:http2';
import { hostname } from 'node:os';
import type { Duplex } from 'node:stream';

/**
 * What the pods behind the proxies run, in the image of Sluice, which has no packages for tests: HTTP/1.1 and WebSockets on
 * port 3000, gRPC (every call is answered with its own message) on port 3001. After SIGTERM it serves on until it is killed
 * or ten seconds are over, as a backend should while proxies learn that it goes.
 */
const web = createServer((_, answer) => answer.end(hostname()));
web.keepAliveTimeout = 75_000;
web.on('upgrade', takeUpgrade);
web.listen(3000);

const calls = createH2Server();
calls.on('stream', (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('error', () => undefined);
  stream.pipe(stream);
});
calls.listen(3001);

process.on('SIGTERM', () => setTimeout(() => process.exit(), 10_000));

/** RFC 6455 §4.2.2; the key is hashed with this constant of the protocol. */
function takeUpgrade(request: IncomingMessage, socket: Duplex): void {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => socket.write(unmasked(bytes)));
}

/** Short frames, as the tests send them, go back as they came, unmasked (§5.2, §5.3): texts, pings and closes alike. */
function unmasked(frames: Buffer): Buffer {
  const answers: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const length = (frames[at + 1] ?? 0) & 0x7f;
    const mask = frames.subarray(at + 2, at + 6);
    const sent = frames.subarray(at + 6, at + 6 + length);
    answers.push(Buffer.from([frames[at] ?? 0, length]), Buffer.from(sent.map((byte, i) => byte ^ (mask[i % 4] ?? 0))));
    at += 6 + length;
  }
  return Buffer.concat(answers);
}
