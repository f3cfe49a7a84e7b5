import type { Denial } from '../filters/compiled.ts';
import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import type { CompiledRoute } from '../match/match.ts';
import { hasOtherReadings, isMeantAsSpelt, otherReadings } from '../match/readings.ts';
import { answerLocally } from './answer.ts';

/**
 * Holds a request to the rules of all paths that its own may be read as: whoever may not come to `/admin` may not come to
 * `/admin;x` either, which another rule takes.
 *
 * @param taken the rule that has taken it
 * @returns true when the request has been refused
 */
export function refuseDisguised(engine: Engine, exchange: Exchange, taken: CompiledRoute): boolean {
  const { path } = exchange;
  if (!hasOtherReadings(exchange.rawPath, path)) return false;
  let denial: Denial | null = null;
  for (const reading of otherReadings(exchange.rawPath, path)) {
    exchange.path = reading;
    const { route } = engine.tables.match(exchange.listenerId, exchange);
    if (route === null || route.id === taken.id || isMeantAsSpelt(path, reading, taken.row, route.row)) continue;
    denial ??= denialOf(engine, exchange, route);
  }
  exchange.path = path;
  if (denial === null) return false;
  answerLocally(engine, exchange, denial);
  return true;
}

/** Of a client whose address may not come, or of a route that is closed; also where the route would first send it to https. */
function denialOf(engine: Engine, exchange: Exchange, route: CompiledRoute): Denial | null {
  const denial = route.filters.denial?.(exchange) ?? null;
  if (denial !== null) return denial;
  const backendId = route.backends[0]?.backendId;
  const broken = backendId === undefined ? null : engine.tables.backend(backendId)?.row.broken;
  return broken == null ? null : { status: broken.status, flag: 'BR', sentence: broken.message };
}
