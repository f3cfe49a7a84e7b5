import type { Head } from './head.ts';
import { nameIds } from './names.ts';

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
    // Whatever the gateway gives a meaning to in a head has none in a trailer.
    const id = trailers.ids[field];
    if (id !== nameIds.other && id !== nameIds.odd) continue;
    const name = trailers.name(field);
    const lower = name.toLowerCase();
    if (forbidden.has(lower) || lower.startsWith('if-') || lower.startsWith('x-forwarded-')) continue;
    text += `${name}: ${trailers.value(field)}\r\n`;
  }
  return text;
}

/** The chunk that ends a body, with the trailers that may pass. */
export function lastChunk(trailers: Head): string {
  return trailers.count === 0 ? '0\r\n\r\n' : `0\r\n${trailerLines(trailers)}\r\n`;
}
