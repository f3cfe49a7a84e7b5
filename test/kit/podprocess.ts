import { createServer } from 'node:http';

// A backend in a process of its own, for tests that end it: no SIGTERM handler, no preStop, gone at once. Arguments: its name,
// which is its answer, and its port. Says when it listens.
const [, , name = '', port = ''] = process.argv;
const server = createServer((request, response) => {
  // The work on a request takes a little, so that some is always in progress.
  request.resume().on('end', () => setTimeout(() => response.end(name), 3));
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
