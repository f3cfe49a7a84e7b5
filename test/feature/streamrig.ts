import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import type { Ack, ChangeBatch } from '#table/change.ts';
import { emptyTable, type Row, type Rows, tableContract } from '#table/rows.ts';
import { controllerServerName } from '#table/wire.ts';
import { type Authorize, sharedSecret } from '../../controller/publish/auth.ts';
import { type KeyPair, makeAuthority } from '../../controller/publish/certificates.ts';
import { feedOf } from '../../controller/publish/feed.ts';
import { Publisher } from '../../controller/publish/publisher.ts';
import { startTableServer, type TableServer } from '../../controller/publish/server.ts';
import { connectStream, type TableStreamClient } from '../../proxy/receive/stream.ts';

export const log = pino({ level: 'silent' });
export const token = 'a shared secret of the test';

let folder: string;
export let authority: KeyPair;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-stream-'));
  authority = await makeAuthority(Date.now());
  await writeFile(join(folder, 'ca.crt'), authority.certPem);
  await writeFile(join(folder, 'token'), `${token}\n`);
  await writeFile(join(folder, 'wrong'), 'a guess\n');
  await writeFile(join(folder, 'empty'), '');
  await writeFile(join(folder, 'other.crt'), (await makeAuthority(Date.now())).certPem);
});

after(() => rm(folder, { recursive: true }));

/** One controller's publishing half, over real TLS. */
export async function startController(
  authorize: Authorize = sharedSecret(join(folder, 'token')),
  onBehind: (kind: string) => void = () => {},
) {
  const publisher = new Publisher(tableContract);
  const server = await startTableServer({
    feeds: [
      feedOf({ contract: tableContract, publisher, authorize, reader: 'proxy', isCurrent: () => true, onBehind, log }),
    ],
    authority,
    address: '127.0.0.1',
    port: 0,
    extraNames: [],
    log,
  });
  return { publisher, server, url: `https://127.0.0.1:${server.port}` };
}

interface ProxyOptions {
  name?: string;
  caFile?: string;
  admin?: string;
  tokenFile?: string;
  answer?: (batch: ChangeBatch) => Ack | Promise<Ack>;
}

/** A proxy as far as the stream goes: applies rows to a table and remembers what came. */
export class TestProxy {
  readonly table = emptyTable();
  readonly batches: ChangeBatch[] = [];
  hash = '';
  readonly client: TableStreamClient;
  #waiting: { isMet: () => boolean; resolve: () => void }[] = [];

  constructor(urls: readonly string[], options: ProxyOptions = {}) {
    this.client = connectStream({
      contract: tableContract,
      urls,
      caFile: join(folder, options.caFile ?? 'ca.crt'),
      tokenFile: join(folder, options.tokenFile ?? 'token'),
      name: options.name ?? 'proxy-1',
      zone: 'zone-a',
      node: null,
      admin: options.admin ?? null,
      current: () => (this.hash === '' ? null : { hash: this.hash }),
      onBatch: async (batch) => {
        const ack = (await options.answer?.(batch)) ?? applied(batch);
        if (ack.type === 'applied') this.#apply(batch);
        this.batches.push(batch);
        for (const wait of this.#waiting) if (wait.isMet()) wait.resolve();
        return ack;
      },
      log,
    });
  }

  #apply(batch: ChangeBatch): void {
    if (batch.isSnapshot) for (const rows of Object.values(this.table)) rows.clear();
    for (const ref of batch.deletes) this.table[ref.kind].delete(ref.id);
    for (const { kind, row } of batch.upserts) (this.table[kind] as Map<string, unknown>).set(row.id, row);
    this.hash = batch.commit.hash;
  }

  async until(isMet: () => boolean): Promise<void> {
    if (isMet()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ isMet, resolve });
    await promise;
  }
}

export function applied(batch: ChangeBatch): Ack {
  return { type: 'applied', hash: batch.commit.hash, generation: batch.commit.generation };
}

export function refused(batch: ChangeBatch, code: string): Ack {
  const problem = {
    code,
    severity: 'error',
    source: { kind: 'Table', namespace: '', name: 'x' },
    message: 'm',
    hint: 'h',
  } as const;
  return { type: 'refused', hash: batch.commit.hash, generation: batch.commit.generation, problems: [problem] };
}

export function secret(id: string, value: string): Row {
  return { kind: 'secret', row: { id, value } };
}

export function onceApplied(publisher: Pick<Publisher<Rows>, 'onApplied'>): Promise<void> {
  return new Promise((resolve) => publisher.onApplied(() => resolve()));
}

export async function stopAll(...parts: (TestProxy | { server: TableServer })[]): Promise<void> {
  for (const part of parts) await ('client' in part ? part.client.stop() : part.server.stop());
}

export async function get(url: string, authorization: string | undefined, body?: string) {
  const agent = new Agent({ connect: { ca: authority.certPem, servername: controllerServerName } });
  const response = await request(url, {
    dispatcher: agent,
    method: body === undefined ? 'GET' : 'POST',
    headers: authorization === undefined ? {} : { authorization },
    body: body ?? null,
  });
  const text = await response.body.text();
  await agent.close();
  return { status: response.statusCode, text };
}

export async function openRaw(port: number, name: string): Promise<TLSSocket> {
  const socket = tlsConnect({ port, host: '127.0.0.1', ca: authority.certPem, servername: controllerServerName });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
  socket.write(`GET /v1/tables?name=${name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await new Promise<void>((resolve) => socket.once('readable', () => resolve()));
  return socket;
}

export async function readUntil(socket: TLSSocket, text: string): Promise<void> {
  let read = '';
  await new Promise<void>((resolve) => {
    const onData = (chunk: Buffer) => {
      read += chunk.toString();
      if (!read.includes(text)) return;
      socket.off('data', onData);
      socket.pause();
      resolve();
    };
    socket.on('data', onData);
    socket.resume();
  });
}

/** Passes connections on until it is frozen: then those that are open stay open and say nothing more. */
export async function startRelay(target: number): Promise<{ port: number; freeze(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const relay: Server = createServer((client) => {
    const upstream = tcpConnect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const address = relay.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    port: address.port,
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
      sockets.clear();
    },
    close: () => {
      relay.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
