import type { ServerResponse } from 'node:http';
import type { Log } from '#kit/log.ts';
import type { Announced } from '#table/announced.ts';
import type { Ack } from '#table/change.ts';
import type { AnyKinds, Contract } from '#table/contract.ts';
import { type AckAnswer, type AckPost, streamHeader } from '#table/wire.ts';
import { adminOrigin } from './adminorigin.ts';
import type { Authorize } from './auth.ts';
import type { Publisher } from './publisher.ts';
import { RowStream } from './stream.ts';

export interface FeedOptions<M extends AnyKinds> {
  contract: Contract<M>;
  publisher: Publisher<M>;
  authorize: Authorize;
  /** Who follows it, as the log calls them. */
  reader: 'proxy' | 'edge';
  /** Whether what is published is what the API server has now. */
  isCurrent(): boolean;
  /** A reader refuses what it was sent, because it holds more of this kind than we have seen. */
  onBehind?(kind: string): void;
  /**
   * An edge says what it announces; null: nothing new.
   * @returns whether what it announces is known now
   */
  hearAnnounced?(node: string, announced: Announced | null): boolean;
  log: Log;
}

/** One contract as it is served: its streams and the answers to them. */
export interface Feed {
  readonly streamPath: string;
  readonly acksPath: string;
  readonly authorize: Authorize;
  open(query: URLSearchParams, response: ServerResponse, who: string): void;
  /**
   * @param peer address that the answer came from
   * @returns how far we are
   */
  acknowledge(post: AckPost, peer: string | undefined): AckAnswer;
  /** Called every heartbeatMs. */
  beat(): void;
  close(): void;
}

export function feedOf<M extends AnyKinds>(options: FeedOptions<M>): Feed {
  const { contract, publisher, authorize, reader, isCurrent, log } = options;
  const streams = new Map<string, RowStream<M>>();
  return {
    streamPath: contract.streamPath,
    acksPath: contract.acksPath,
    authorize,

    open(query, response, who) {
      // It has gone while its token was reviewed: nobody would ever say so again, and statuses would wait for it for good.
      if (response.destroyed) return;
      const name = query.get('name') ?? '';
      const stream = new RowStream<M>({
        name,
        zone: query.get('zone') || null,
        node: query.get('node') || null,
        admin: adminOrigin(query.get('admin'), response.req.socket.remoteAddress),
        hash: query.get('hash') ?? '',
        response,
      });
      streams.set(stream.id, stream);
      log.info({ [reader]: name, who, stream: stream.id, hash: stream.hash }, `${reader} connected`);
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
        log.info({ [reader]: name, stream: stream.id }, `${reader} gone`);
      });
    },

    acknowledge(post, peer) {
      const { name, node, ack, announced } = post;
      const stream = streams.get(post.stream);
      if (stream) stream.acknowledge(ack);
      else publisher.heardElsewhere(post, adminOrigin(post.admin, peer));
      if (ack.type === 'refused' && stream?.isNews(ack)) {
        log.error({ [reader]: name, hash: ack.hash, problems: ack.problems }, `${reader} refused what it was sent`);
      }
      if (ack.type === 'refused' && stream) for (const kind of kindsFromThePast(ack)) options.onBehind?.(kind);
      const { seen = {}, holds = {} } = publisher.current ?? {};
      const knowsAnnounced = node !== null && (options.hearAnnounced?.(node, announced ?? null) ?? false);
      return { seen, holds, leaseMs: isCurrent() ? leaseMs : 0, knowsAnnounced };
    },

    beat() {
      for (const stream of streams.values()) stream.beat();
      publisher.expire();
    },

    close() {
      for (const stream of streams.values()) stream.close();
    },
  };
}

/** Their parts that are counted by themselves (`Ingress team`) are of that kind, too. */
function kindsFromThePast({ problems }: Extract<Ack, { type: 'refused' }>): string[] {
  const behind = problems.filter(({ code }) => code === 'TableFromThePast');
  return behind.map(({ source }) => source.kind.split(' ', 1)[0] ?? '');
}

/** Readers repeat their answer every 10 s, and one may be lost. */
const leaseMs = 25_000;
