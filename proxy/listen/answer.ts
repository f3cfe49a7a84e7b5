import type { Denial, LocalAnswer } from '../filters/compiled.ts';
import { abandonAttempt } from '../forward/attempt.ts';
import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import type { ResponseFlag } from '../observe/record.ts';
import { bodyNone } from '../parse/framing.ts';
import { clock } from './clock.ts';
import { httpDate } from './date.ts';
import { errorPage } from './errorpage.ts';
import { grpcLines, isGrpc } from './grpc.ts';
import type { Refusal } from './refusals.ts';
import { giveRequestId } from './requestid.ts';

/** What keeps an answer from its end. */
export interface Shortfall {
  readonly status: number;
  readonly sentence: string;
}

/** Answers with an error page of the gateway, or with gRPC's way of saying it, and ends the exchange. */
export function answer(engine: Engine, exchange: Exchange, status: number, flag: ResponseFlag, sentence: string): void {
  if (exchange.requestId === '') giveRequestId(exchange);
  exchange.flag = flag;
  if (isGrpc(exchange)) {
    exchange.grpcErrorStatus = status;
    send(engine, exchange, 200, `Content-Type: application/grpc\r\n${grpcLines(status, flag, sentence)}`, '');
    return;
  }
  const page = errorPage({ status, sentence, requestId: exchange.requestId, accept: exchange.header('accept') ?? '' });
  const extra = status === 503 ? 'Retry-After: 1\r\n' : '';
  send(engine, exchange, status, `Content-Type: ${page.contentType}\r\nCache-Control: no-store\r\n${extra}`, page.body);
}

/** Answers with what a filter made and ends the exchange. */
export function answerLocally(engine: Engine, exchange: Exchange, local: LocalAnswer | Denial): void {
  if ('sentence' in local) {
    answer(engine, exchange, local.status, local.flag, local.sentence);
    return;
  }
  exchange.flag = 'LR';
  send(engine, exchange, local.status, local.headers.map((line) => `${line}\r\n`).join(''), local.body);
}

export function refuse(engine: Engine, exchange: Exchange, refusal: Refusal): void {
  answer(engine, exchange, refusal.status, refusal.flag, refusal.sentence);
}

function send(engine: Engine, exchange: Exchange, status: number, lines: string, body: string): void {
  const client = exchange.client;
  if (client === null) return;
  // An upload that nobody will read ends the connection; otherwise its bytes could pass for the next request (CL.0).
  if (!exchange.isRequestComplete) exchange.willClose = true;
  exchange.status = status;
  exchange.isResponseStarted = true;
  exchange.replyKind = bodyNone;
  const { hsts } = client.peer.door;
  const hstsLine = hsts === null ? '' : `Strict-Transport-Security: ${hsts}\r\n`;
  const id = exchange.requestId === '' ? '' : `X-Request-ID: ${exchange.requestId}\r\n`;
  client.writeAnswer(exchange, status, `Date: ${httpDate(clock.nowMs)}\r\n${lines}${id}${hstsLine}`, body);
  finish(engine, exchange);
}

/**
 * The response cannot be completed: the client must not take what it has for the whole (RFC 9112 §8).
 * @param why what it would have been answered, had nothing been sent yet; gRPC can still be told
 */
export function truncate(engine: Engine, exchange: Exchange, { status, sentence }: Shortfall): void {
  exchange.willClose = true;
  const isCall = isGrpc(exchange);
  if (isCall) exchange.grpcErrorStatus = status;
  exchange.client?.cutOff(isCall ? grpcLines(status, exchange.flag, sentence) : '');
  finish(engine, exchange);
}

/** The client's connection is gone. */
export function clientGone(engine: Engine, exchange: Exchange): void {
  abandonAttempt(exchange);
  // A client that we gave up is not one that went; and a tunnel ends in no other way.
  if (exchange.flag === '-') {
    if (engine.isOver) exchange.flag = 'GE';
    else if (exchange.status !== 101) exchange.flag = 'DC';
  }
  // nginx's number for it; the client never sees it.
  if (exchange.status === 0) exchange.status = 499;
  exchange.willClose = true;
  finish(engine, exchange);
}

/** The one end of every exchange. */
export function finish(engine: Engine, exchange: Exchange): void {
  const client = exchange.client;
  if (client === null) return;
  exchange.encoder?.close();
  exchange.durationMs += clock.nowMs - exchange.startedAtMs;
  engine.observer.finished(exchange);
  client.exchangeEnded(exchange);
}
