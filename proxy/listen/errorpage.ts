import type { ResponseFlag } from '../observe/record.ts';

/** What a page of the gateway says. */
export interface ErrorPageFacts {
  status: number;
  /** Why, in one sentence; shown to whoever sent the request, so it names no internals. */
  sentence: string;
  /** X-Request-ID of the exchange: the thread to pull in the access log. */
  requestId: string;
  /** The request's Accept field; '' when absent. */
  accept: string;
}

const htmlType = 'text/html; charset=utf-8';
const jsonType = 'application/json';

/**
 * Body of an answer that the gateway gives itself: short HTML, or JSON when Accept ranks it above HTML.
 * It says who answered, because "is this 503 from my pod or from the proxy?" is the first question of every outage.
 * No version is told, and everything variable is escaped.
 */
export function errorPage(facts: ErrorPageFacts): { contentType: string; body: string } {
  const parts = partsOf(facts.status);
  if (prefersJson(facts.accept)) {
    const body = `${parts.json}${JSON.stringify(facts.sentence)},"requestId":${JSON.stringify(facts.requestId)}}\n`;
    return { contentType: jsonType, body };
  }
  const body = `${parts.html}${escapeHtml(facts.sentence)}</p>\n<p>Request id: <code>${escapeHtml(facts.requestId)}</code></p>\n${htmlTail}`;
  return { contentType: htmlType, body };
}

/** The sentence of a flag, for answers where nothing more exact is known. */
export function sentenceOf(flag: ResponseFlag): string {
  return sentences[flag];
}

const sentences: Readonly<Record<ResponseFlag, string>> = {
  '-': 'The backend answered.',
  NR: 'No route matches this host and path.',
  NE: 'No endpoint of the service can take this request now.',
  BR: 'The route leads to a backend that is not usable.',
  UF: 'The gateway could not connect to the backend.',
  UC: 'The backend closed the connection before it had answered.',
  UT: 'The backend did not answer in time.',
  UPE: 'The backend sent an answer that is not valid HTTP.',
  DPE: 'The request is not valid HTTP.',
  DC: 'The client closed the connection.',
  DT: 'The request did not arrive in time.',
  LR: 'The gateway answered by a rule of the route.',
  RL: 'The request is over a size limit.',
  OM: 'The gateway has no room for more requests now.',
};

const reasons: ReadonlyMap<number, string> = new Map([
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [413, 'Content Too Large'],
  [414, 'URI Too Long'],
  [417, 'Expectation Failed'],
  [421, 'Misdirected Request'],
  [426, 'Upgrade Required'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [504, 'Gateway Timeout'],
  [505, 'HTTP Version Not Supported'],
]);

const htmlTail =
  '<p>This answer comes from the gateway (Sluice), not from the service behind it.</p>\n</body></html>\n';

interface Parts {
  readonly html: string;
  readonly json: string;
}

const partsByStatus = new Map<number, Parts>([...reasons.keys()].map((status) => [status, buildParts(status)]));

function partsOf(status: number): Parts {
  return partsByStatus.get(status) ?? buildParts(status);
}

function buildParts(status: number): Parts {
  const title = `${status} ${reasons.get(status) ?? 'Error'}`;
  const head = `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>\n`;
  return {
    html: `${head}<body><h1>${title}</h1>\n<p>`,
    json: `{"gateway":"Sluice","status":${status},"title":${JSON.stringify(reasons.get(status) ?? 'Error')},"message":`,
  };
}

/** RFC 9110 §12.5.1. A tie and a bare wildcard go to HTML: the reader is then most likely a person. */
function prefersJson(accept: string): boolean {
  if (!accept.includes('json')) return false;
  let json = 0;
  let html = 0;
  for (const range of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const weight = weightOf(parameters);
    if (type === jsonType || (type.startsWith('application/') && type.endsWith('+json'))) json = Math.max(json, weight);
    else if (type === 'text/html' || type === 'application/xhtml+xml') html = Math.max(html, weight);
  }
  return json > html;
}

function weightOf(parameters: readonly string[]): number {
  const text = parameters.find((parameter) => parameter.startsWith('q='));
  if (text === undefined) return 1;
  const weight = Number(text.slice(2));
  return weight >= 0 && weight <= 1 ? weight : 0;
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return /[&<>"']/.test(text) ? text.replace(/[&<>"']/g, (character) => escapes[character] ?? '') : text;
}
