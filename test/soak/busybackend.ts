/** An application that works on so many requests at a time, each for so many ms, and lets the others wait: `8 5`. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const [places = 8, workMs = 5] = process.argv.slice(2).map(Number);
const waiting: ServerResponse[] = [];
let busy = 0;

function next(): void {
  if (busy >= places) return;
  const response = waiting.shift();
  if (response === undefined) return;
  busy++;
  setTimeout(() => {
    busy--;
    response.end('ok');
    next();
  }, workMs);
}

const server = createServer((_request, response) => {
  waiting.push(response);
  next();
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
