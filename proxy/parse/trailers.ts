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

/** @returns lines `name: value` CRLF of the fields that may pass to a backend: as in a head, none whose name could be read for another (names.ts) */
export function requestTrailerLines(trailers: Head): string {
  return linesOf(trailers, nameIds.other);
}

/** The same to a client: servers of gRPC have dots in names. */
export function replyTrailerLines(trailers: Head): string {
  return linesOf(trailers, nameIds.odd);
}

/** @param further an id that may pass, beside those of names that mean nothing here: whatever has a meaning in a head has none in a trailer */
function linesOf(trailers: Head, further: number): string {
  let text = '';
  for (let field = 0; field < trailers.count; field++) {
    const id = trailers.ids[field];
    if (id !== nameIds.other && id !== further) continue;
    const name = trailers.name(field);
    if (mayPass(name)) text += `${name}: ${trailers.value(field)}\r\n`;
  }
  return text;
}

function mayPass(name: string): boolean {
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
    .filter((name) => isPlain.test(name) && idOf(name) === nameIds.other && mayPass(name))
    .join(', ');
}

const mostAnnounced = 100;

const isPlain = /^[-0-9A-Za-z]+$/;

function idOf(name: string): number {
  return nameIdOf(Buffer.from(name, 'latin1'), 0, name.length);
}

/** The chunk that ends a body. @param lines of its trailers */
export function lastChunk(lines: string): string {
  return `0\r\n${lines}\r\n`;
}
