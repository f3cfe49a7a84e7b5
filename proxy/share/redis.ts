import { readFile } from 'node:fs/promises';
import type { Redis, RedisOptions } from 'ioredis';
import { reasonOf } from '#kit/reason.ts';

/** Where the state that proxies share lives. */
export interface RedisSettings {
  /** `redis://user:password@host:port/database`, or `rediss://` for TLS. Secret: never logged whole. */
  readonly url: string;
  /** Holds the password, instead of the URL; read again for each connection, because passwords are replaced. */
  readonly passwordFile: string | null;
  /** PEM of the authorities that may vouch for the server; null: the public ones. */
  readonly caFile: string | null;
}

/** What the flags of a command say; null: nothing is shared. */
export function redisSettingsOf(flags: {
  readonly redisUrl: string | null;
  readonly redisPasswordFile: string | null;
  readonly redisCa: string | null;
}): RedisSettings | null {
  const { redisUrl: url, redisPasswordFile: passwordFile, redisCa: caFile } = flags;
  return url === null ? null : { url, passwordFile, caFile };
}

/** `host:port`: what may be told of the URL. */
export function serverOf({ url }: RedisSettings): string {
  const { host, hostname, port } = new URL(url);
  return port === '' ? `${hostname}:${defaultPort}` : host;
}

/**
 * A connection that is ready to be used, and that never comes back by itself once it is lost: whoever uses it decides when
 * to try again. ioredis is loaded here and nowhere else: it costs 26 MB, which only those pay who ask for Redis.
 *
 * @param answerMs how long an answer may take before its command fails
 * @throws why there is none: no file, no server, no answer, wrong password, a certificate of a stranger
 */
export async function openRedis(settings: RedisSettings, answerMs: number): Promise<Redis> {
  const { Redis: Client } = await import('ioredis');
  const client = new Client({ ...(await optionsOf(settings)), ...manners, commandTimeout: answerMs });
  let reason: Error | null = null;
  // Without a listener ioredis writes to the console. Why it could not connect comes by this event only (connect() says
  // "closed"), and so does a database that it could not select, with which it goes on in another one.
  client.on('error', (error: Error) => {
    reason ??= error;
  });
  const failure: unknown = await client.connect().catch((error: unknown) => error);
  if (reason === null && failure === undefined) return client;
  client.disconnect();
  throw reason ?? failure;
}

/** Why a command failed, for a log line. Servers that do not know a command repeat what came with it, passwords included. */
export function redisReasonOf(error: unknown): string {
  const reason = reasonOf(error).split(', with args')[0] ?? '';
  if (reason === 'Command timed out') return 'it does not answer';
  return reason === 'Connection is closed.' ? 'the connection was lost' : reason.slice(0, 200);
}

/** The server works, but takes no writes for now: its memory is full, or its disk, or replicas that it must have are away. */
export function isRefusal(error: unknown): boolean {
  return /^(OOM|MISCONF|NOREPLICAS) /.test(reasonOf(error));
}

const defaultPort = 6379;

const manners = {
  lazyConnect: true,
  retryStrategy: () => null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // An INFO more per connection, which a user with few rights may not ask; a server that loads refuses the first command.
  enableReadyCheck: false,
  disableClientInfo: true,
  connectionName: 'sluice',
  connectTimeout: 1_000,
  keepAlive: 10_000,
  protocol: 2,
  replyMapping: 'legacy',
} as const satisfies RedisOptions;

async function optionsOf({ url, passwordFile, caFile }: RedisSettings): Promise<RedisOptions> {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const secret = passwordFile === null ? decodeURIComponent(password) : await passwordIn(passwordFile);
  const options: RedisOptions = {
    host,
    port: port === '' ? defaultPort : Number(port),
    db: Number(pathname.slice(1)),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(secret === '' ? {} : { password: secret }),
  };
  if (protocol === 'redis:') return options;
  return { ...options, tls: caFile === null ? {} : { ca: await authoritiesIn(caFile) } };
}

async function passwordIn(path: string): Promise<string> {
  const password = (await readFile(path, 'utf8')).trim();
  if (password === '') throw new Error(`${path} holds no password`);
  return password;
}

/** TLS would take an empty list for "whoever the public authorities vouch for". */
async function authoritiesIn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error(`${path} holds no certificate in PEM form`);
  return text;
}
