import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Ack } from '#table/change.ts';
import type { AnyKinds } from '#table/contract.ts';
import { commitLine, deleteLine, heartbeatLine, heartbeatMs, snapshotLine } from '#table/wire.ts';
import type { Batch } from './publisher.ts';
import type { Subscriber } from './subscription.ts';

/** One open stream: writes batches as the reader takes them, and waits for its answers. */
export class RowStream<M extends AnyKinds> implements Subscriber<M> {
  readonly id = randomUUID();
  readonly name: string;
  readonly zone: string | null;
  readonly node: string | null;
  readonly admin: string | null;
  readonly hash: string;
  readonly isObserver: boolean;
  readonly #response: ServerResponse;
  #waiting: { batch: Batch<M>; resolve: (ack: Ack) => void; reject: (error: Error) => void } | null = null;
  #beatsSinceHeard = 0;
  #lastRefusal = '';

  constructor(
    options: Pick<Subscriber<M>, 'name' | 'zone' | 'node' | 'admin' | 'hash'> & { response: ServerResponse },
  ) {
    this.name = options.name;
    this.zone = options.zone;
    this.node = options.node;
    this.admin = options.admin;
    this.hash = options.hash;
    this.isObserver = options.name === '';
    this.#response = options.response;
  }

  /** @throws When the connection ends before the answer. */
  async deliver(batch: Batch<M>): Promise<Ack> {
    const { promise, resolve, reject } = Promise.withResolvers<Ack>();
    this.#waiting = { batch, resolve, reject };
    // Marks the promise as handled: it may be rejected while lines are still being written.
    promise.catch(() => {});
    for (const text of chunksOf(batch)) {
      if (this.#response.destroyed) throw new Error('the stream has ended');
      // Waiting for 'drain' bounds what a slow reader holds in our memory to one chunk beside the rows themselves.
      if (!this.#response.write(text)) await Promise.race([once(this.#response, 'drain'), promise]);
    }
    const { hash, generation } = batch.commit;
    if (this.isObserver) return { type: 'applied', hash, generation };
    return promise;
  }

  acknowledge(ack: Ack): void {
    this.#beatsSinceHeard = 0;
    const waiting = this.#waiting;
    if (waiting?.batch.commit.hash !== ack.hash || waiting.batch.commit.generation !== ack.generation) return;
    this.#waiting = null;
    waiting.resolve(ack);
  }

  /** false: the same refusal was heard before. */
  isNews(refusal: Ack): boolean {
    const text = JSON.stringify(refusal);
    const isNew = text !== this.#lastRefusal;
    this.#lastRefusal = text;
    return isNew;
  }

  /** Called every heartbeatMs: says that we live, and cuts a reader that has not said so for a while. */
  beat(): void {
    this.#beatsSinceHeard++;
    if (!this.isObserver && this.#beatsSinceHeard * heartbeatMs > maxSilenceMs) this.#response.destroy();
    else if (!this.#response.writableNeedDrain) this.#response.write(heartbeatLine);
  }

  close(): void {
    this.#waiting?.reject(new Error('the stream has ended'));
    this.#waiting = null;
    this.#response.destroy();
  }
}

/** Proxies repeat their answer every 10 s. */
const maxSilenceMs = 35_000;
const chunkLength = 65_536;

function* chunksOf<M>(batch: Batch<M>): Generator<string> {
  let text = batch.isSnapshot ? snapshotLine : '';
  for (const ref of batch.deletes) text += deleteLine(ref);
  for (const { line } of batch.rows) {
    text += line;
    if (text.length < chunkLength) continue;
    yield text;
    text = '';
  }
  yield text + commitLine(batch.commit);
}
