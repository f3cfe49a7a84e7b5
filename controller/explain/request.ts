import type { Listener } from '#table/listener.ts';
import type { Table } from '#table/rows.ts';
import type { RequestFacts } from '../../proxy/match/facts.ts';
import { normalisePath } from '../../proxy/match/normalise.ts';

/** A request as a person writes it down. */
export interface Asked {
  readonly url: string;
  readonly method: string;
  /** `name: value`. */
  readonly headers: readonly string[];
  /** Address of the client; null: not told. */
  readonly client: string | null;
  /** Id of the listener that it comes to; null: by scheme and port. */
  readonly listener: string | null;
}

/** A request as the matcher sees it. */
export interface Request {
  readonly listener: Listener;
  readonly facts: RequestFacts;
  /** Its path could be read in more than one way: nothing is matched. */
  readonly isRefused: boolean;
}

/** @throws when there is no such listener, or the URL is none; the message is for a person */
export function requestOf(asked: Asked, table: Table): Request {
  const wanted = asked.listener === null ? null : namedListener(asked.listener, table);
  const text = /^[a-z]+:\/\//i.test(asked.url) ? asked.url : `${wanted?.protocol ?? 'http'}://${asked.url}`;
  const [, scheme = '', authority = '', rest = ''] = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text) ?? [];
  const url = URL.parse(text);
  if (url === null || scheme === '' || authority === '') throw new Error(`${asked.url} is no URL of http or https`);
  const isHttps = scheme.toLowerCase() === 'https';
  const listener = wanted ?? listenerOf(isHttps ? 'https' : 'http', url.port, table);
  const question = rest.indexOf('?');
  const target = question === -1 ? rest : rest.slice(0, question);
  const rawPath = bytesOf(target === '' ? '/' : target);
  const path = normalisePath(rawPath);
  const headers = headersOf(asked.headers);
  const host = headers.get('host');
  const hostname = (host?.replace(/:\d*$/, '') ?? url.hostname).toLowerCase().replace(/\.$/, '');
  // Redirects keep its port.
  if (host === undefined) headers.set('host', authority.replace(/^.*@/, ''));
  return {
    listener,
    isRefused: path === null,
    facts: {
      method: asked.method,
      scheme: isHttps ? 'https' : 'http',
      hostname,
      publicHostname: hostname,
      path: path ?? rawPath,
      rawPath,
      query: question === -1 ? '' : bytesOf(rest.slice(question + 1)),
      clientAddress: asked.client ?? '',
      header: (name) => headers.get(name),
    },
  };
}

/** Matching is about bytes: one character each. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function headersOf(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`the header ${line} is not written as 'name: value'`);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = bytesOf(line.slice(colon + 1).trim());
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

/** Behind a balancer that ends TLS it may be another one than that of the URL. */
function namedListener(id: string, table: Table): Listener {
  const listener = table.listener.get(id);
  if (listener === undefined) throw new Error(`there is no listener ${id}; there is: ${idsOf(table)}`);
  if (!/^https?$/.test(listener.protocol))
    throw new Error(`the listener ${id} carries ${listener.protocol}, and no URL`);
  return listener;
}

/** Of several, the one of that port; else the one that Ingresses are served on. */
function listenerOf(protocol: 'http' | 'https', port: string, table: Table): Listener {
  const fitting = [...table.listener.values()].filter((listener) => listener.protocol === protocol);
  const found =
    fitting.find((each) => port !== '' && [each.publicPort, each.port].includes(Number(port))) ??
    fitting.find(({ id }) => id === protocol) ??
    fitting[0];
  if (found !== undefined) return found;
  throw new Error(`there is no listener for ${protocol}; there is: ${idsOf(table)}`);
}

function idsOf(table: Table): string {
  return [...table.listener.keys()].join(', ') || 'none';
}
