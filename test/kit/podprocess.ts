import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

// A backend in a process of its own, for tests that end it: no SIGTERM handler, no preStop, gone at once. Argument: its name,
// which is its answer. Prints its port.
const [, , name = ''] = process.argv;
const server = createServer((request, response) => {
  // The work on a request takes a little, so that some is always in progress.
  request.resume().on('end', () => setTimeout(() => response.end(name), 3));
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
