import { isIP } from 'node:net';
import type { Exchange } from '../forward/exchange.ts';
import { plainAddress } from '../match/ranges.ts';

/**
 * The client of a request: the rightmost address of the chain `forwardedFor, peer` that is not trusted. When all are
 * trusted it is the leftmost. What stands left of something unreadable is not believed, because nobody vouches for it.
 *
 * @param forwardedFor value of X-Forwarded-For, repeated fields joined by commas; '' when absent
 */
export function clientAddressOf(peer: string, forwardedFor: string, isTrusted: (address: string) => boolean): string {
  let client = plainAddress(peer);
  let end = forwardedFor.length;
  while (end > 0 && isTrusted(client)) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    const address = addressOf(forwardedFor.slice(comma + 1, end));
    if (address === null) return client;
    client = address;
    end = comma;
  }
  return client;
}

/** Sets what a trusted peer says of the client, before anything is matched by it. */
export function believePeer(exchange: Exchange): void {
  const peer = exchange.client?.peer;
  if (peer === undefined || !peer.isTrusted) return;
  exchange.clientAddress = clientAddressOf(peer.address, exchange.forwardedFor, peer.door.isTrusted);
  exchange.scheme = forwardedProtoOf(exchange.head.get('x-forwarded-proto') ?? '') ?? exchange.scheme;
}

/**
 * Value of X-Forwarded-For for the backend: the client, then every trusted hop up to and including the peer. What came
 * left of the client is cut, because backends that read the leftmost address would believe what the client wrote there.
 */
export function forwardedForOf(peer: string, forwardedFor: string, isTrusted: (address: string) => boolean): string {
  let hop = plainAddress(peer);
  let chain = hop;
  let end = forwardedFor.length;
  while (end > 0 && isTrusted(hop)) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    const address = addressOf(forwardedFor.slice(comma + 1, end));
    if (address === null) return chain;
    hop = address;
    chain = `${hop}, ${chain}`;
    end = comma;
  }
  return chain;
}

/** Scheme from X-Forwarded-Proto of a trusted peer; of a list the first, which is the client's own connection. */
export function forwardedProtoOf(value: string): 'http' | 'https' | null {
  const first = firstOf(value).toLowerCase();
  return first === 'http' || first === 'https' ? first : null;
}

/** Host (with port, if given) from X-Forwarded-Host of a trusted peer, lower case; null when it is not a host. */
export function forwardedHostOf(value: string): string | null {
  const first = firstOf(value).toLowerCase();
  return first.length <= 261 && hostPattern.test(first) ? first : null;
}

/** Name by which the client came, as a trusted peer tells it; without port and trailing dot. */
export function publicHostnameOf({ client, head, hostname }: Exchange): string {
  if (client?.peer.isTrusted !== true) return hostname;
  const told = forwardedHostOf(head.get('x-forwarded-host') ?? '');
  return told === null ? hostname : told.replace(/:\d+$/, '').replace(/\.$/, '');
}

/** Port from X-Forwarded-Port of a trusted peer; null when it is not one. */
export function forwardedPortOf(value: string): number | null {
  const first = firstOf(value);
  if (!/^\d{1,5}$/.test(first)) return null;
  const port = Number(first);
  return port >= 1 && port <= 65535 ? port : null;
}

const hostPattern = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;

function firstOf(list: string): string {
  const comma = list.indexOf(',');
  return (comma === -1 ? list : list.slice(0, comma)).trim();
}

/** One element of X-Forwarded-For: an address, perhaps with a port; null when it is neither. */
function addressOf(element: string): string | null {
  let text = element.trim();
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text);
  if (bracketed?.[1] !== undefined) text = bracketed[1];
  else if (text.includes('.') && text.indexOf(':') === text.lastIndexOf(':')) text = text.replace(/:\d{1,5}$/, '');
  const plain = plainAddress(text);
  return isIP(plain) === 0 ? null : plain;
}
