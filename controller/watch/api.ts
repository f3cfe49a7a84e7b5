import type { IncomingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher, Pool, ProxyAgent, request } from 'undici';
import { loadKubeConfig } from './kubeconfig.ts';
import { propertyOf } from './read.ts';

export interface ClusterOptions {
  /** Path of a kubeconfig. Without: the pod's service account, else what kubectl would use. */
  kubeconfig?: string | undefined;
  /** A context of the kubeconfig other than its current one. */
  context?: string | undefined;
}

interface ApiCall {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With query: `/api/v1/nodes?limit=500`. */
  path: string;
  body?: unknown;
  /** Of the body; JSON unless told. */
  contentType?: string;
  /** Form of the answer; JSON unless told. */
  accept?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface ApiAnswer {
  status: number;
  /** Parsed JSON; null if it was none, which only refusals may be. Of objects, what is no refusal is of the API server. */
  body: unknown;
  /** What `Retry-After` asks for, a minute at most. */
  retryAfterMs: number | null;
}

interface ApiStream extends Omit<ApiAnswer, 'body'> {
  body: Dispatcher.ResponseData['body'];
}

/**
 * The API server, with credentials that are kept fresh. Every status is an answer; what throws is a lost connection, or one to
 * somebody else.
 */
export interface Cluster {
  readonly server: string;
  /** Of the context, or of the pod that we run in. */
  readonly namespace: string;
  call(call: ApiCall): Promise<ApiAnswer>;
  /** The answer as it comes; the caller reads it to its end or aborts. No time limit but that of the head. */
  stream(path: string, signal: AbortSignal, accept?: string): Promise<ApiStream>;
  close(): Promise<void>;
}

/** A lost connection in the form of an answer, of status 0: for callers to whom it is one failure among others. */
export function unanswered(error: Error): ApiAnswer {
  return { status: 0, body: { message: error.message }, retryAfterMs: null };
}

/** Answers a patch with a uid: the object is gone, or another one has its name by now, and nothing was changed of that. */
export function isOfAnother({ status, body }: ApiAnswer): boolean {
  if (status !== 422) return status === 404;
  const causes = propertyOf(propertyOf(body, 'details'), 'causes');
  return Array.isArray(causes) && causes.some((cause) => propertyOf(cause, 'field') === 'metadata.uid');
}

/** Now, as fields of the API's type MicroTime want it. */
export function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}

/** Also the longest that an abort may take: a request that waits for its connection does not hear of it. */
const connectTimeoutMs = 5_000;
const callTimeoutMs = 30_000;
/** A dead peer is found within about 40 s: libuv probes ten times, one second apart. Without it, it takes 15 minutes. */
const keepAliveDelayMs = 30_000;

/** Rejects, in one sentence, if there is no usable kubeconfig. Does not connect yet. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { config, server, namespace } = await loadKubeConfig(options);
  return new Connection(options, config, server, namespace);
}

type TlsOptions = Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'passphrase' | 'servername' | 'rejectUnauthorized'>;

/** How the API server is reached. */
interface Way {
  tls: TlsOptions;
  /** `proxy-url` of the kubeconfig; empty counts as none. */
  proxyUrl: string | undefined;
}

class Connection implements Cluster {
  readonly server: string;
  readonly namespace: string;
  readonly #options: ClusterOptions;
  #config: KubeConfig;
  #renewal: Promise<void> | null = null;
  #way: Way | null = null;
  #agent: Dispatcher | null = null;

  constructor(options: ClusterOptions, config: KubeConfig, server: string, namespace: string) {
    this.#options = options;
    this.#config = config;
    this.server = server;
    this.namespace = namespace;
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    const limit = AbortSignal.timeout(call.timeoutMs ?? callTimeoutMs);
    const signal = call.signal ? AbortSignal.any([call.signal, limit]) : limit;
    const { statusCode, headers, body } = await this.#request(call, signal);
    const answer = parsed(await body.text());
    // A page of somebody in front, to log in with, say: an empty list would be read out of it.
    if (statusCode < 300 && !isOfApiServer(call.path, answer))
      throw new Error('the answer is not that of an API server');
    return { status: statusCode, body: answer, retryAfterMs: retryAfterMs(headers) };
  }

  async stream(path: string, signal: AbortSignal, accept = 'application/json'): Promise<ApiStream> {
    const { statusCode, headers, body } = await this.#request({ path, accept }, signal);
    return { status: statusCode, body, retryAfterMs: retryAfterMs(headers) };
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
  }

  async #request(call: ApiCall, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const answer = await this.#attempt(call, signal);
    if (answer.statusCode !== 401) return answer;
    // Bound tokens and exec credentials expire, and may do so before the time that they told.
    await answer.body.dump();
    await this.#renewCredentials();
    return await this.#attempt(call, signal);
  }

  async #attempt(call: ApiCall, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { agent, headers } = await this.#credentials();
    if (call.body !== undefined) headers['content-type'] = call.contentType ?? 'application/json';
    // A server of many clusters has each below a path.
    return await request(new URL(`${this.server.replace(/\/+$/, '')}${call.path}`), {
      dispatcher: agent,
      method: call.method ?? 'GET',
      headers: { accept: call.accept ?? 'application/json', 'user-agent': 'sluice', ...headers },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal,
      headersTimeout: callTimeoutMs,
      bodyTimeout: 0,
    });
  }

  /** Asked for before every request: files of certificates and tokens are read anew as they rotate. */
  async #credentials(): Promise<{ agent: Dispatcher; headers: Record<string, string> }> {
    const options: RequestOptions = { headers: {} };
    await this.#config.applyToHTTPSOptions(options);
    const headers = { ...(options.headers as Record<string, string>) };
    if (options.auth) headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
    const way = { tls: tlsOptionsOf(options), proxyUrl: this.#config.getCurrentCluster()?.proxyUrl };
    if (!this.#agent || !isDeepStrictEqual(way, this.#way)) {
      // Requests that still run on the old agent end by themselves.
      void this.#agent?.close();
      this.#agent = newAgent(way);
      this.#way = way;
    }
    return { agent: this.#agent, headers };
  }

  async #renewCredentials(): Promise<void> {
    this.#renewal ??= loadKubeConfig(this.#options)
      .then(({ config }) => {
        this.#config = config;
      })
      .finally(() => {
        this.#renewal = null;
      });
    await this.#renewal;
  }
}

function tlsOptionsOf({ ca, cert, key, passphrase, servername, rejectUnauthorized }: RequestOptions): TlsOptions {
  const all = { ca, cert, key, passphrase, servername, rejectUnauthorized };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null));
}

/** HTTP/1.1, so that every watch has a connection of its own and none holds up the renewal of the Lease. */
function newAgent({ tls, proxyUrl }: Way): Dispatcher {
  const wire = { timeout: connectTimeoutMs, keepAlive: true, keepAliveInitialDelay: keepAliveDelayMs };
  const connect = { ...(tls as object), ...wire };
  if (!proxyUrl) return new Agent({ allowH2: false, connect });
  return new ProxyAgent({
    ...{ uri: proxyUrl, allowH2: false, requestTls: connect },
    // With TLS of its own a SOCKS proxy would be spoken to in that.
    ...(proxyUrl.startsWith('socks') ? { connectTimeout: connectTimeoutMs } : { proxyTls: wire }),
    // The answer to CONNECT is part of the connection, too.
    clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: connectTimeoutMs }),
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Objects and lists of them say what they are; `/version` and `/openid` do not. */
function isOfApiServer(path: string, answer: unknown): boolean {
  return path.startsWith('/api') ? typeof propertyOf(answer, 'apiVersion') === 'string' : answer !== null;
}

/** Pages of maintenance in front say hours, whenever it ends, and a timer of more than 24 days runs out at once. */
const longestRetryAfterMs = 60_000;

/** RFC 9110 §10.2.3; the API server sends seconds. */
function retryAfterMs(headers: IncomingHttpHeaders): number | null {
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  return seconds >= 0 ? Math.min(seconds * 1000, longestRetryAfterMs) : null;
}
