/** The third peer: what most Node gateways are built on, with keep-alive agents, as its own guide advises. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createProxyServer } from 'http-proxy-3';
import type { Setting } from './setting.ts';

const setting = JSON.parse(process.argv[2] ?? '{}') as Setting;
const agent = new Agent({ keepAlive: true, maxSockets: 1024 });
const target = `http://127.0.0.1:${setting.backendPort}`;
const proxy = createProxyServer({ agent, xfwd: true });
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response) response.writeHead(502).end();
});
const hosts = new Map(Array.from({ length: setting.hosts }, (_, i) => [`h${i}.bench`, target]));

function serve(request: IncomingMessage, response: ServerResponse): void {
  const found = hosts.get(request.headers.host ?? '');
  if (!found) {
    response.writeHead(404).end();
    return;
  }
  request.headers['x-request-id'] ??= randomUUID();
  proxy.web(request, response, { target: found });
}

createServer({ keepAliveTimeout: 300_000 }, serve).listen(setting.httpPort, '127.0.0.1');
createTlsServer(
  { cert: readFileSync(setting.certificate), key: readFileSync(setting.key), keepAliveTimeout: 300_000 },
  serve,
).listen(setting.httpsPort, '127.0.0.1');
