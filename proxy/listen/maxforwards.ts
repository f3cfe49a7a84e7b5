import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import { answerLocally } from './answer.ts';

/** OPTIONS that may go no further is answered by whoever holds it (RFC 9110 §7.6.2). @returns whether it was */
export function answerMaxForwards(engine: Engine, exchange: Exchange): boolean {
  if (exchange.maxForwards !== 0 || exchange.method !== 'OPTIONS') return false;
  answerLocally(engine, exchange, allowed);
  return true;
}

const allowed = { status: 200, headers: ['Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS'], body: '' };
