import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Log } from '#kit/log.ts';
import { type AckAnswer, AckPost, controllerServerName, heartbeatMs, streamHeader } from '#table/wire.ts';
import type { Authorize } from './auth.ts';
import { type KeyPair, signLeaf } from './certificates.ts';
import type { Publisher } from './publisher.ts';
import { TableStream } from './stream.ts';

export interface TableServerOptions {
  publisher: Publisher;
  authorize: Authorize;
  authority: KeyPair;
  /** Address to bind; '' for all. */
  address: string;
  /** 0 lets the kernel choose. */
  port: number;
  /** Names and addresses in the certificate beside the one that proxies verify, for people with curl. */
  extraNames: readonly string[];
  log: Log;
}

export interface TableServer {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Serves the tables to proxies over TLS:
 *
 * - `GET /v1/tables?name=&zone=&node=&hash=`: the stream of proxy/table/wire.ts, without end. Without `name` it is a
 *   look on for people: nobody waits for answers.
 * - `POST /v1/acks`: a proxy's answer to a commit, repeated as a sign of life. Streams whose proxy is silent are cut.
 *   The answer says how far we are, so that a proxy can leave a replica that does not get any further.
 *
 * Both want `Authorization: Bearer`.
 *
 * @throws When the port cannot be bound.
 */
export async function startTableServer(options: TableServerOptions): Promise<TableServer> {
  const { publisher, log } = options;
  const streams = new Map<string, TableStream>();
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
    if (url === null || (route !== 'GET /v1/tables' && route !== 'POST /v1/acks')) {
      return refuse(response, 404, 'there is only GET /v1/tables and POST /v1/acks');
    }
    const token = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const verdict = token === undefined ? noToken : await options.authorize(token);
    if (!verdict.ok) {
      log.warn({ peer: request.socket.remoteAddress, reason: verdict.reason }, 'proxy refused');
      return refuse(response, 401, 'a valid bearer token is needed');
    }
    if (request.method === 'POST') return takeAck(request, response);
    openStream(url.searchParams, response, verdict.who);
  }

  function openStream(query: URLSearchParams, response: ServerResponse, who: string): void {
    const name = query.get('name') ?? '';
    const stream = new TableStream({
      name,
      zone: query.get('zone') || null,
      node: query.get('node') || null,
      hash: query.get('hash') ?? '',
      response,
    });
    streams.set(stream.id, stream);
    log.info({ proxy: name, who, stream: stream.id, hash: stream.hash }, 'proxy connected');
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      [streamHeader]: stream.id,
    });
    response.flushHeaders();
    const leave = publisher.subscribe(stream);
    response.on('close', () => {
      streams.delete(stream.id);
      stream.close();
      leave();
      log.info({ proxy: name, stream: stream.id }, 'proxy gone');
    });
  }

  async function takeAck(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const post = AckPost.safeParse(parseJson(await readBody(request)));
    if (!post.success) return refuse(response, 400, 'the body is not an acknowledgement');
    const { name, ack } = post.data;
    const stream = streams.get(post.data.stream);
    if (stream) stream.acknowledge(ack);
    else publisher.heardElsewhere(post.data);
    if (ack.type === 'refused' && stream?.isNews(ack)) {
      log.error({ proxy: name, hash: ack.hash, problems: ack.problems }, 'proxy refused a table');
    }
    const { seen = {}, holds = {} } = publisher.current ?? {};
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ seen, holds } satisfies AckAnswer)}\n`);
  }

  const beat = setInterval(() => {
    for (const stream of streams.values()) stream.beat();
    publisher.expire();
  }, heartbeatMs);
  const renewal = setInterval(() => {
    makeLeaf(options).then(
      (fresh) => server.setSecureContext({ cert: fresh.certPem, key: fresh.keyPem, minVersion: 'TLSv1.3' }),
      (error: unknown) => log.error({ err: error }, 'the server certificate could not be renewed'),
    );
  }, renewEveryMs);

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, ...(options.address === '' ? {} : { host: options.address }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ err: error }, 'table server'));

  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        clearInterval(beat);
        clearInterval(renewal);
        server.close(() => resolve());
        for (const stream of streams.values()) stream.close();
        server.closeAllConnections();
      }),
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

/** '' when the body is too long. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > maxAckBytes) return '';
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
