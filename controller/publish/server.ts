import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Log } from '#kit/log.ts';
import { AckPost, controllerServerName, heartbeatMs } from '#table/wire.ts';
import { type KeyPair, signLeaf } from './certificates.ts';
import type { Feed } from './feed.ts';
import { ended, listening } from './listening.ts';
import { readJson } from './readjson.ts';

export interface TableServerOptions {
  feeds: readonly Feed[];
  authority: KeyPair;
  /** Address to bind; '' for all. */
  address: string;
  /** 0 lets the kernel choose. */
  port: number;
  /** Names and addresses in the certificate beside the one that readers verify, for people with curl. */
  extraNames: readonly string[];
  log: Log;
}

export interface TableServer {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Serves tables to proxies and plans to edges over TLS, at the paths of their contracts:
 *
 * - `GET /v1/tables?name=&zone=&node=&hash=`: the stream of proxy/table/wire.ts, without end. Without `name` it is a
 *   look on for people: nobody waits for answers.
 * - `POST /v1/acks`: an answer to a commit, repeated as a sign of life. Streams whose reader is silent are cut. The
 *   answer says how far we are, so that a reader can leave a replica that does not get any further. Edges say along with
 *   it what they announce.
 *
 * All want `Authorization: Bearer`; a token that is bound to a node speaks for that node alone.
 *
 * @throws When the port cannot be bound.
 */
export async function startTableServer(options: TableServerOptions): Promise<TableServer> {
  const { feeds, log } = options;
  const leaf = await makeLeaf(options);
  const server = createServer({
    cert: leaf.certPem,
    key: leaf.keyPem,
    minVersion: 'TLSv1.3',
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    handshakeTimeout: 10_000,
    connectionsCheckingInterval: 5_000,
  });

  server.on('request', (request, response) => {
    // A peer that goes while we write is no news; the stream hears of it by 'close'.
    response.on('error', () => {});
    answer(request, response).catch((error: unknown) => {
      log.error({ err: error }, 'table request failed');
      response.destroy();
    });
  });
  server.on('tlsClientError', (error, socket) => {
    log.debug({ reason: error.message }, 'table handshake failed');
    socket.destroy();
  });
  server.on('clientError', (_error, socket) => socket.destroy());

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.parse(request.url ?? '/', 'https://controller');
    const route = `${request.method} ${url?.pathname}`;
    const feed = feeds.find(({ streamPath, acksPath }) => [`GET ${streamPath}`, `POST ${acksPath}`].includes(route));
    if (url === null || feed === undefined) {
      const routes = feeds.map(({ streamPath, acksPath }) => `GET ${streamPath}, POST ${acksPath}`);
      return refuse(response, 404, `there is only ${routes.join(', ')}`);
    }
    const token = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const verdict = token === undefined ? noToken : await feed.authorize(token);
    if (!verdict.ok) {
      log.warn({ peer: request.socket.remoteAddress, reason: verdict.reason }, 'token refused');
      return refuse(response, 401, 'a valid bearer token is needed');
    }
    const { who, node } = verdict;
    const isForeign = (other: string | null) => node !== null && (other ?? node) !== node;
    if (request.method === 'GET') {
      if (isForeign(url.searchParams.get('node'))) return refuse(response, 403, `the token is one of node ${node}`);
      return feed.open(url.searchParams, response, who);
    }
    const post = AckPost.safeParse(await readJson(request, maxAckBytes));
    if (!post.success) return refuse(response, 400, 'the body is not an acknowledgement');
    if (isForeign(post.data.node)) return refuse(response, 403, `the token is one of node ${node}`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(feed.acknowledge(post.data, request.socket.remoteAddress))}\n`);
  }

  const port = await listening(server, options.address, options.port, (error) =>
    log.error({ err: error }, 'table server'),
  );
  const beat = setInterval(() => {
    for (const feed of feeds) feed.beat();
  }, heartbeatMs);
  const renewal = setInterval(() => {
    makeLeaf(options).then(
      (fresh) => server.setSecureContext({ cert: fresh.certPem, key: fresh.keyPem, minVersion: 'TLSv1.3' }),
      (error: unknown) => log.error({ err: error }, 'the server certificate could not be renewed'),
    );
  }, renewEveryMs);

  return {
    port,
    async stop() {
      clearInterval(beat);
      clearInterval(renewal);
      for (const feed of feeds) feed.close();
      await ended(server);
    },
  };
}

const noToken = { ok: false, reason: 'no bearer token' } as const;
const leafDays = 30;
const renewEveryMs = 7 * 86_400_000;
/** A refusal may name a problem per row; more than this is no acknowledgement. */
const maxAckBytes = 1_048_576;

function makeLeaf(options: TableServerOptions): Promise<KeyPair> {
  const names = new Set([controllerServerName, 'localhost', '127.0.0.1', '::1', ...options.extraNames]);
  return signLeaf(options.authority, [...names], leafDays, Date.now());
}

function refuse(response: ServerResponse, status: number, error: string): void {
  // The rest of the request is not read, so the connection cannot be used again.
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(`${JSON.stringify({ error })}\n`);
}
