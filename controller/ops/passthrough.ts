import { Agent, type IncomingMessage, type ServerResponse } from 'node:http';
import { createProxyServer } from 'http-proxy-3';
import type { Log } from '#kit/log.ts';

export interface PassThrough {
  /** Answers a request with a page of somebody's admin port: `http://10.0.0.1:10254` and `/tables?…`. */
  pass(request: IncomingMessage, response: ServerResponse, origin: string, page: string): void;
  close(): void;
}

/**
 * The way from our pages to those of proxies and edges, so that a port-forward to the controllers shows the whole fleet. Who
 * asks has been looked at already: only GET comes here. What a browser keeps for us is not passed on.
 */
export function openPassThrough(log: Log): PassThrough {
  const agent = new Agent({ keepAlive: false, maxSockets: mostPerOrigin, timeout: idleMs });
  const proxy = createProxyServer({
    agent,
    ignorePath: true,
    changeOrigin: true,
    connectTimeout: connectMs,
    proxyTimeout: idleMs,
  });
  let open = 0;

  proxy.on('proxyReq', (asked) => {
    for (const name of ['cookie', 'authorization', 'proxy-authorization']) asked.removeHeader(name);
  });
  proxy.on('proxyRes', (answer) => {
    delete answer.headers['set-cookie'];
  });
  proxy.on('error', (error, _request, response) => {
    log.debug({ reason: error.message }, 'an admin page could not be had');
    if ('writeHead' in response && !response.headersSent) refuse(response, 502, 'it does not answer');
    else response.destroy();
  });

  return {
    pass(request, response, origin, page) {
      if (open >= mostOpen) return refuse(response, 503, 'too many pages are being read');
      open++;
      response.on('close', () => open--);
      proxy.web(request, response, { target: `${origin}${page}` });
    },
    close() {
      proxy.close();
      agent.destroy();
    },
  };
}

/** Pages that are passed through at a time: a table of many rows is large. */
const mostOpen = 32;
const mostPerOrigin = 4;
const connectMs = 2_000;
const idleMs = 10_000;

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`${reason}\n`);
}
