import type { RequestFacts } from '../match/facts.ts';
import type { LocalAnswer } from './compiled.ts';

/** A redirect to an absolute URL. Nothing in `location` can end the field's line: all but visible ASCII is encoded. */
export function redirectTo(status: number, location: string): LocalAnswer {
  return { status, headers: [`location: ${visible(location)}`], body: '' };
}

/** The only answer to a request without a host name when an absolute URL would need one. */
export const noHostAnswer: LocalAnswer = {
  status: 400,
  headers: ['content-type: text/plain'],
  body: 'The request names no host, so it cannot be redirected.\n',
};

/** `?query` as sent, '' without one. */
export const queryOf = (request: RequestFacts) => (request.query === '' ? '' : `?${request.query}`);

/** Host name as it stands in a URL: an IPv6 address in brackets. */
export function urlHost(hostname: string): string {
  return hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname;
}

function visible(text: string): string {
  if (/^[\x21-\x7e]*$/.test(text)) return text;
  return text.replace(/[^\x21-\x7e]/g, (char) => {
    let encoded = '';
    // Characters of a request are bytes; only text of a row can be beyond U+00FF, and that is UTF-8 in a URL.
    for (const byte of Buffer.from(char, char.charCodeAt(0) < 256 ? 'latin1' : 'utf8')) {
      encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    }
    return encoded;
  });
}
