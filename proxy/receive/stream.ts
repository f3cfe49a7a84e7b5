import { setTimeout } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { Announced, AnnouncedBy } from '#table/announced.ts';
import type { Ack, ChangeBatch } from '#table/change.ts';
import type { Contract } from '#table/contract.ts';
import {
  AckAnswer,
  type AckPost,
  BatchReader,
  controllerServerName,
  type ReadBatch,
  silenceMs,
  streamHeader,
} from '#table/wire.ts';
import { type Controller, findControllers, readCredentials } from './controllers.ts';
import { LagWatch } from './lag.ts';
import { OtherControllers } from './others.ts';
import { Tidings } from './tidings.ts';

export interface StreamOptions<M> {
  /** What is followed. */
  contract: Contract<M>;
  /** Controllers, `https://host:port`. A name with several addresses stands for that many controllers. */
  urls: readonly string[];
  /** PEM of the authority that signs controllers; read again for each connection. */
  caFile: string;
  /** Bearer token; read again for each request, because projected tokens are replaced hourly. */
  tokenFile: string;
  name: string;
  zone: string | null;
  node: string | null;
  /** Where its admin pages are, as `adminOf` says; null: nobody is told. */
  admin: string | null;
  /** What is in force now; null before the first table. */
  current(): { hash: string } | null;
  /** Applies a batch. A rejection counts as a refusal. */
  onBatch(batch: ChangeBatch<M>): Promise<Ack>;
  /** Of an edge: what its node announces now. All controllers are told. */
  announced?(): Iterable<AnnouncedBy>;
  log: Log;
}

interface StreamState {
  isConnected: boolean;
  /** The controller that is, or was last, spoken to. */
  url: string | null;
  /** Why the last attempt ended; null while connected. */
  lastError: string | null;
  /** Connections that were made, the present one included. */
  connects: number;
  /** A controller has said not long ago that it sees what the API server has. */
  isLeased: boolean;
}

export interface TableStreamClient {
  state(): StreamState;
  stop(): Promise<void>;
}

/**
 * Keeps this proxy's table that of the controllers, for ever: one stream to one of them; when it ends, falls silent or
 * is behind, the next one, with back-off and jitter. Answers each commit, repeats the last answer as a sign of life,
 * and tells the other controllers too: the one that writes status must know what every proxy has applied, whichever
 * replica serves it.
 */
export function connectStream<M>(options: StreamOptions<M>): TableStreamClient {
  const { contract, log, name, zone, node, admin } = options;
  const state: StreamState = { isConnected: false, url: null, lastError: null, connects: 0, isLeased: false };
  let leasedUntilMs = Number.NEGATIVE_INFINITY;
  const stopping = new AbortController();
  let controllers: Controller[] = [];
  let connected: Connected | null = null;
  let lastAck: Ack | null = null;
  let failures = 0;
  /** Origin of a controller that is to be followed next; null: whichever it is. */
  let preferred: string | null = null;
  const lag = new LagWatch();
  const tidings = options.announced ? new Tidings(() => options.announced?.() ?? []) : null;
  const others = new OtherControllers({
    openAgent: () => openAgent(options),
    async post(controller, agent, ack) {
      const { holds } = await tell({ controller, stream: '', agent }, ack);
      lag.heard(controller.origin, holds);
    },
    onFailure: ({ url }, error) => log.debug({ controller: url, reason: reasonOf(error) }, 'a controller was not told'),
  });

  async function run(): Promise<void> {
    for (let turn = Math.floor(Math.random() * 1_000); !stopping.signal.aborted; turn++) {
      try {
        controllers = await findControllers(options.urls);
        const controller =
          controllers.find(({ origin }) => origin === preferred) ?? controllers[turn % controllers.length];
        preferred = null;
        if (controller) await follow(controller);
        else state.lastError = 'no controller has an address';
      } catch (error) {
        state.lastError = endOf(error);
      }
      state.isConnected = false;
      connected = null;
      if (stopping.signal.aborted) return;
      failures++;
      log.warn({ controller: state.url, reason: state.lastError, failures }, 'table stream ended');
      await pause(backoffMs(failures, controllers.length), stopping.signal);
    }
  }

  /** Returns when the controller has nothing for us; throws when the connection fails. */
  async function follow(controller: Controller): Promise<void> {
    state.url = controller.url;
    const agent = await openAgent(options);
    try {
      const { token } = await readCredentials(options);
      const response = await request(`${controller.origin}${contract.streamPath}?${queryOf(options)}`, {
        dispatcher: agent,
        signal: stopping.signal,
        headers: { authorization: `Bearer ${token}`, host: controllerServerName },
        headersTimeout: connectTimeoutMs,
        bodyTimeout: silenceMs,
      });
      if (response.statusCode !== 200) {
        await response.body.dump();
        const doubt = response.statusCode === 401 ? `: it does not know the token of ${options.tokenFile}` : '';
        throw new Error(`the controller answered ${response.statusCode}${doubt}`);
      }
      const stream = String(response.headers[streamHeader] ?? '');
      connected = { controller, stream, agent };
      // As a sign of life it would be taken for the answer to the same table, which may be offered again and pass this time.
      if (lastAck?.type === 'refused') lastAck = null;
      lag.forget();
      Object.assign(state, { isConnected: true, lastError: null, connects: state.connects + 1 });
      log.info({ controller: controller.url, stream }, 'table stream open');
      for await (const batch of batchesOf(contract, response.body)) {
        const ack = await take(batch);
        lastAck = ack;
        lease(await tell(connected, ack));
        tellOthers(ack);
        const reason = reasonToLeave(ack);
        if (reason !== null) throw new Error(reason);
        failures = 0;
      }
      throw new Error('the controller ended the stream');
    } finally {
      connected = null;
      await agent.destroy();
    }
  }

  async function take({ batch, problems }: ReadBatch<M>): Promise<Ack> {
    const { hash, generation } = batch.commit;
    if (problems.length > 0) return { type: 'refused', hash, generation, problems: [...problems] };
    try {
      return await options.onBatch(batch);
    } catch (error) {
      log.error({ err: error, hash, generation }, 'table could not be applied');
      const source = { kind: 'Table', namespace: '', name: hash };
      const message = `applying the table failed: ${reasonOf(error)}`;
      const hint = 'The last good table stays in force; the log of the proxy says more.';
      return {
        type: 'refused',
        hash,
        generation,
        problems: [{ code: 'ApplyFailed', severity: 'error', source, message, hint }],
      };
    }
  }

  /** With what is announced, in as many messages as that takes. Returns how far the controller is. */
  async function tell(way: Connected, ack: Ack): Promise<AckAnswer> {
    const { origin } = way.controller;
    for (;;) {
      const message = tidings?.next(origin) ?? null;
      try {
        const answer = await post(way, ack, message?.announced ?? null);
        tidings?.answered(origin, message, answer.knowsAnnounced);
        if (!tidings?.hasMore(origin)) return answer;
      } catch (error) {
        tidings?.failed(origin);
        throw error;
      }
    }
  }

  async function post(way: Connected, ack: Ack, announced: Announced | null): Promise<AckAnswer> {
    const { controller, stream, agent } = way;
    const { token } = await readCredentials(options);
    const response = await request(`${controller.origin}${contract.acksPath}`, {
      dispatcher: agent,
      signal: stopping.signal,
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, host: controllerServerName, 'content-type': 'application/json' },
      body: JSON.stringify({ stream, name, zone, node, admin, ack, announced } satisfies AckPost),
      headersTimeout: connectTimeoutMs,
      bodyTimeout: connectTimeoutMs,
    });
    if (response.statusCode === 200) return AckAnswer.parse(await response.body.json());
    await response.body.dump();
    throw new Error(`the acknowledgement was answered ${response.statusCode}`);
  }

  function lease({ leaseMs }: AckAnswer): void {
    leasedUntilMs = performance.now() + leaseMs;
  }

  function tellOthers(ack: Ack): void {
    const serving = connected?.controller.origin;
    void others.tell(
      controllers.filter(({ origin }) => origin !== serving),
      ack,
    );
  }

  const life = setInterval(async () => {
    if (lastAck === null || connected === null) return;
    const { agent } = connected;
    try {
      const answer = await tell(connected, lastAck);
      lease(answer);
      const { seen } = answer;
      preferred = lag.look(seen);
      if (preferred !== null) {
        log.warn({ controller: state.url, ahead: preferred }, 'the controller is left behind by another one');
        return await agent.destroy();
      }
      controllers = await findControllers(options.urls);
      tidings?.keep(new Set(controllers.map(({ origin }) => origin)));
      tellOthers(lastAck);
    } catch {
      // A controller that does not take answers is as good as gone; ending the connection makes `follow` look for another.
      await agent.destroy();
    }
  }, lifeMs);

  const watch = tidings && setInterval(look, lookEveryMs);

  async function look(): Promise<void> {
    if (!tidings?.look() || lastAck === null || connected === null) return;
    const { agent, controller } = connected;
    tellOthers(lastAck);
    if (tidings.hasMore(controller.origin)) await tell(connected, lastAck).catch(() => agent.destroy());
  }

  const running = run();
  return {
    state: () => ({ ...state, isLeased: performance.now() < leasedUntilMs }),
    async stop() {
      clearInterval(life);
      if (watch) clearInterval(watch);
      stopping.abort();
      others.close();
      await running;
    },
  };
}

interface Connected {
  controller: Controller;
  stream: string;
  agent: Agent;
}

const connectTimeoutMs = 5_000;
const lifeMs = 10_000;
/** How soon controllers hear of another address that is announced. */
const lookEveryMs = 2_000;
const firstBackoffMs = 100;
const maxBackoffMs = 10_000;
/** Longer than any row: a stream without line ends must not fill the memory. */
const maxLineLength = 32 * 1_048_576;

/**
 * Trusts what our authority signed, and nothing else. The file is read now: authorities are replaced, too.
 * undici verifies the name in the Host field of a request before `servername`, so requests say the same there.
 */
async function openAgent(options: { caFile: string; tokenFile: string }): Promise<Agent> {
  const { ca } = await readCredentials(options);
  return new Agent({
    connect: { ca, servername: controllerServerName, timeout: connectTimeoutMs },
    keepAliveTimeout: 3 * lifeMs,
  });
}

/** Grows with whole rounds over the controllers, not with each of them; full jitter keeps a fleet from marching in step. */
function backoffMs(failures: number, controllerCount: number): number {
  const rounds = Math.floor((failures - 1) / Math.max(1, controllerCount));
  const ceilingMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(rounds, 20));
  return ceilingMs / 2 + (Math.random() * ceilingMs) / 2;
}

async function* batchesOf<M>(contract: Contract<M>, body: AsyncIterable<Buffer>): AsyncGenerator<ReadBatch<M>> {
  const reader = new BatchReader(contract);
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxLineLength) throw new Error('the stream has a line without end');
    for (const line of lines) {
      const batch = reader.push(line);
      if (batch) yield batch;
    }
  }
}

function queryOf(options: Omit<StreamOptions<unknown>, 'contract' | 'onBatch'>): string {
  const query = new URLSearchParams({ name: options.name, hash: options.current()?.hash ?? '' });
  if (options.zone !== null) query.set('zone', options.zone);
  if (options.node !== null) query.set('node', options.node);
  if (options.admin !== null) query.set('admin', options.admin);
  return query.toString();
}

/** What controllers are told of an admin port: `10.0.0.1:10254`, and `:10254` for the address that we are seen to come from. */
export function adminOf(address: string, port: number): string {
  if (address === '0.0.0.0' || address === '::') return `:${port}`;
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** null: the stream goes on. A sender does not offer again what was refused; what may pass another time needs a new stream. */
function reasonToLeave(ack: Ack): string | null {
  const has = (code: string) => ack.type === 'refused' && ack.problems.some((problem) => problem.code === code);
  if (has('TableFromThePast')) return 'the controller is behind the table in force';
  return has('PlanNotApplied') ? 'the plan could not be applied' : null;
}

/** Resolves early when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch(() => {});
}

/** Node's own words for these advise to trust the authorities of the system. */
const strangerCodes: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** Why a stream ended, for the person who reads the log. */
function endOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!strangerCodes.has(code)) return reasonOf(error);
  return `the controller shows no certificate of the authority that we were given (${code})`;
}
