import type { Head } from './head.ts';
import { nameIdOf, nameIds } from './names.ts';

/**
 * Trailer fields that may pass (RFC 9110 §6.5.1): not those that frame, route, authenticate or describe a message, because
 * a recipient that merges trailers into the head would act on them after the checks were made.
 */
const forbidden: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expires',
  'location',
  'pragma',
  'range',
  'retry-after',
  'set-cookie',
  'vary',
  'warning',
  'www-authenticate',
]);

/** @returns lines `name: value` CRLF of the fields that may pass */
export function trailerLines(trailers: Head): string {
  let text = '';
  for (let field = 0; field < trailers.count; field++) {
    const name = trailers.name(field);
    if (mayPass(trailers.ids[field] as number, name)) text += `${name}: ${trailers.value(field)}\r\n`;
  }
  return text;
}

function mayPass(id: number, name: string): boolean {
  // Whatever the gateway gives a meaning to in a head has none in a trailer.
  if (id !== nameIds.other && id !== nameIds.odd) return false;
  const lower = name.toLowerCase();
  return !forbidden.has(lower) && !lower.startsWith('if-') && !lower.startsWith('x-forwarded-');
}

/**
 * What of a Trailer field may pass (RFC 9110 §6.6.2): names of fields that may. Go's servers of HTTP/2 keep no others than those that
 * were announced.
 */
export function announcedTrailers(head: Head): string {
  if (head.find(nameIds.trailer) === -1) return '';
  const names = head.joined(nameIds.trailer).split(',', mostAnnounced);
  return names
    .map((name) => name.trim())
    .filter((name) => isToken.test(name) && mayPass(idOf(name), name))
    .join(', ');
}

const mostAnnounced = 100;

/** Those with `_` do not pass, either (names.ts). */
const isToken = /^[!#$%&'*+\-.^`|~0-9A-Za-z]+$/;

function idOf(name: string): number {
  return nameIdOf(Buffer.from(name, 'latin1'), 0, name.length);
}

/** The chunk that ends a body, with the trailers that may pass. */
export function lastChunk(trailers: Head): string {
  return trailers.count === 0 ? '0\r\n\r\n' : `0\r\n${trailerLines(trailers)}\r\n`;
}
