import { type Head, noTrailers } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import type { Exchange } from './exchange.ts';

/** To one request; a backend that sends more is broken. */
const mostInterims = 32;

/** A backend that says nothing to an expectation is waited for as long as curl and Go wait, who then send their body anyway, ms. */
export const mostSilenceMs = 1_000;

/** Passes an interim answer on. @returns false: there were too many */
export function passInterim(exchange: Exchange, line: ResponseLine, head: Head): boolean {
  if (++exchange.interims > mostInterims) return false;
  exchange.client?.writeInterim(exchange, line, head);
  if (line.status === 100) exchange.expectsContinue = false;
  return true;
}

/** The client holds its body back: it gets the word from us, unless the body has begun to come without it (RFC 9110 §10.1.1). */
export function askOn(exchange: Exchange, line: ResponseLine): void {
  line.status = 100;
  if (exchange.bytesReceived === 0) exchange.client?.writeInterim(exchange, line, noTrailers);
  exchange.expectsContinue = false;
}
