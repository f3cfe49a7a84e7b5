import { createServer } from 'node:http';
import { announceListening } from './announce.ts';

/**
 * A backend that tells who it is and what it was asked: `node echo.ts <name> <port>`. Answers with text, and with JSON
 * to those who accept it.
 */
const [name = 'echo', port = '0'] = process.argv.slice(2);

const server = createServer((request, response) => {
  const { method, url: path, headers } = request;
  request.resume();
  if (headers.accept?.includes('application/json')) {
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify({ backend: name, method, path, headers })}\n`);
    return;
  }
  const fields = Object.entries(headers).map(([field, value]) => `  ${field}: ${value}\n`);
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`backend ${name}: ${method} ${path}\n${fields.join('')}`);
});
// Longer than the gateway keeps a connection, so that it is the gateway that ends it.
server.keepAliveTimeout = 75_000;
server.listen(Number(port), '127.0.0.1', announceListening);
server.on('error', (error) => {
  console.error(`demo backend ${name}: ${error.message}`);
  process.exit(1);
});
