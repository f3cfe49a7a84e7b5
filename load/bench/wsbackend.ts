/** The backend of idle WebSockets: agrees to every handshake, and is silent from then on. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const server = createServer((_request, response) => response.end());
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.on('error', () => {}).resume();
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
});
server.listen(Number(process.argv[2]), '127.0.0.1', 4096, () => process.stdout.write('listening\n'));
process.stdin.on('end', () => process.exit(0)).resume();
