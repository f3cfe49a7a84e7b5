import { STATUS_CODES } from 'node:http';

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
const mostAcceptBytes = 1_024;

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

const htmlTail =
  '<p>This answer comes from the gateway (Sluice), not from the service behind it.</p>\n</body></html>\n';

interface Parts {
  readonly html: string;
  readonly json: string;
}

/** Statuses are the gateway's own and those of rows, 400 to 599, so there are few. */
const partsByStatus = new Map<number, Parts>();

function partsOf(status: number): Parts {
  const known = partsByStatus.get(status);
  if (known !== undefined) return known;
  const parts = buildParts(status);
  partsByStatus.set(status, parts);
  return parts;
}

function buildParts(status: number): Parts {
  const reason = STATUS_CODES[status] ?? 'Error';
  const title = `${status} ${reason}`;
  const head = `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>\n`;
  return {
    html: `${head}<body><h1>${title}</h1>\n<p>`,
    json: `{"gateway":"Sluice","status":${status},"title":${JSON.stringify(reason)},"message":`,
  };
}

/** RFC 9110 §12.5.1. A tie and a bare wildcard go to HTML: the reader is then most likely a person. */
function prefersJson(accept: string): boolean {
  // No browser sends so much, and taking 30 KB of commas apart costs ten times as much as the whole answer.
  if (accept.length > mostAcceptBytes || !accept.includes('json')) return false;
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
