import { takeExchange } from '../forward/exchange.ts';
import { clock } from './clock.ts';
import { type H2Stream, type StreamHome, takeH2Stream } from './h2stream.ts';

/** What a client does against the rules of HTTP/2 is told like what is malformed in HTTP/1.1: that it went away would blame the network. */

/** The stream is over because the client broke a rule, on it or on its connection. */
export function wasBroken(own: H2Stream | null): void {
  if (own === null) return;
  if (own.exchange !== null && own.exchange.flag === '-') own.exchange.flag = 'DPE';
  own.wasReset();
}

/** A request that is none is answered by a reset (RFC 9113 §8.1.1), and nobody would know why if the log did not. */
export function tellMalformed(home: StreamHome): void {
  const own = takeH2Stream();
  const exchange = takeExchange();
  own.begin(home, null, exchange);
  exchange.line.method = '';
  exchange.line.version = 20;
  exchange.begin(own, clock.nowMs);
  home.engine.observer.requestStarted();
  wasBroken(own);
}
