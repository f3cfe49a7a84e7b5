import { type CorpusCase, decodeBytes } from './corpus.ts';
import type { H2Answer } from './h2client.ts';
import type { RawClient } from './rawclient.ts';
import type { RecordedRequest } from './recorder.ts';
import { type RawResponse, readResponses } from './response.ts';
import { fieldValue } from './splitter.ts';

/** Statuses after which an HTTP/1 connection must end: the position of the next request is not known. */
const endingStatuses = new Set([400, 413, 431, 501]);

/** What both sides saw of one case. */
export interface CaseOutcome {
  responses: readonly RawResponse[];
  recorded: readonly RecordedRequest[];
}

/**
 * Sends a case's bytes, waits for its first final answer and then for the end of the connection: on its own where the
 * case or the status demands that, else after the client's FIN.
 */
export async function play(each: CorpusCase, client: RawClient): Promise<RawResponse[]> {
  const bytes = decodeBytes(each.raw);
  const methods = [bytes.toString('latin1').startsWith('HEAD ') ? 'HEAD' : 'GET'];
  client.send(bytes);
  if (each.fin) client.end();
  const first = await client.response(0, methods).catch((error: Error) => {
    if (client.isDone) return null;
    throw error;
  });
  const mustEnd = first === null || each.close === true || endingStatuses.has(first.status);
  if (!mustEnd) client.end();
  await client.closed();
  return readResponses(client.received, true, methods);
}

/** Everything that is wrong with the outcome of a `client-h1` case; empty when it holds. */
export function faultsOfClientCase(each: CorpusCase, outcome: CaseOutcome): string[] {
  const { responses, recorded } = outcome;
  const faults = [...faultsOfStatus(each, responses), ...smuggled(recorded)];
  if (each.mustNotForward && recorded.length > 0) faults.push(`forwarded: ${heads(recorded)}`);
  if (each.maxForwarded !== undefined && recorded.length > each.maxForwarded) {
    faults.push(`forwarded ${recorded.length} requests, at most ${each.maxForwarded} may be: ${heads(recorded)}`);
  }
  if (each.responses !== undefined && responses.length !== each.responses) {
    faults.push(`${responses.length} responses instead of ${each.responses}`);
  }
  const second = responses[1]?.status ?? 'close';
  if (each.second !== undefined && !each.second.includes(second)) faults.push(`second answer ${second}`);
  const seen = recorded[0];
  if (seen !== undefined && each.assert !== undefined) faults.push(...faultsOfForwarded(each, seen, recorded));
  return faults;
}

/** The same for an `upstream-h1` case: asserts are about what the client sees. */
export function faultsOfUpstreamCase(each: CorpusCase, outcome: CaseOutcome, received: Buffer): string[] {
  const { responses, recorded } = outcome;
  const faults = [...faultsOfStatus(each, responses), ...smuggled(recorded)];
  const asserts = each.assert ?? {};
  const seen = responses[0];
  const text = received.toString('latin1');
  if (asserts.noPoison && text.includes('poison')) faults.push('the client received the poisoned answer');
  if (asserts.noBytes !== undefined && text.includes(asserts.noBytes)) faults.push(`sent on ${asserts.noBytes}`);
  if (responses.length > 1) faults.push('the client saw more than one answer');
  if (seen === undefined || seen.status >= 500) return faults;
  if (asserts.incomplete && seen.isComplete) faults.push('a truncated answer ended cleanly');
  if (asserts.body !== undefined && seen.body.toString('latin1') !== asserts.body) {
    faults.push(`body ${JSON.stringify(seen.body.toString('latin1'))}`);
  }
  for (const name of asserts.absent ?? []) {
    if (fieldValue(seen, name) !== undefined) faults.push(`${name} was passed on`);
  }
  if (asserts.noBoth && linesOf(seen, 'content-length') > 0 && linesOf(seen, 'transfer-encoding') > 0) {
    faults.push('two framings were passed on');
  }
  return faults;
}

/** The same where the client speaks HTTP/2. @param seen what came on its stream */
export function faultsOfUpstreamStream(
  each: CorpusCase,
  seen: H2Answer,
  recorded: readonly RecordedRequest[],
): string[] {
  const faults = smuggled(recorded);
  const asserts = each.assert ?? {};
  const status = seen.statuses.find((one) => one >= 200) ?? 'close';
  const allowed = each.prefer === undefined ? each.expect : [each.prefer];
  if (!allowed.includes(status)) faults.push(`answered ${status}, allowed ${allowed.join(' ')}`);
  const body = seen.body.toString('latin1');
  const text = `${seen.lines.join('\r\n')}\r\n\r\n${body}`;
  if (asserts.noPoison && text.includes('poison')) faults.push('the client received the poisoned answer');
  if (asserts.noBytes !== undefined && text.includes(asserts.noBytes)) faults.push(`sent on ${asserts.noBytes}`);
  if (seen.lines.some((line) => line.startsWith('transfer-encoding:'))) faults.push('a framing was passed on');
  if (status === 'close' || status >= 500) return faults;
  if (asserts.incomplete && seen.reset === null) faults.push('a truncated answer ended cleanly');
  if (asserts.body !== undefined && body !== asserts.body) faults.push(`body ${JSON.stringify(body)}`);
  for (const name of asserts.absent ?? []) {
    if (seen.lines.some((line) => line.startsWith(`${name}:`))) faults.push(`${name} was passed on`);
  }
  return faults;
}

/** The same for a `client-h2` case. @param outcome of stream 1 */
export function faultsOfStreamCase(
  each: CorpusCase,
  outcome: number | string,
  recorded: readonly RecordedRequest[],
): string[] {
  const faults = smuggled(recorded);
  const isAllowed =
    each.expect.includes(outcome) ||
    (outcome === 'close' && each.expect.includes('rst')) ||
    (outcome === 'open' && each.mayStayOpen === true) ||
    (typeof outcome === 'number' && each.mayAnswer === true);
  if (!isAllowed) faults.push(`answered ${outcome}, allowed ${each.expect.join(' ')}`);
  if (each.mustNotForward && recorded.length > 0) faults.push(`forwarded: ${heads(recorded)}`);
  if (each.maxForwarded !== undefined && recorded.length > each.maxForwarded) {
    faults.push(`forwarded ${recorded.length} requests: ${heads(recorded)}`);
  }
  const seen = recorded[0];
  if (seen !== undefined && each.assert !== undefined) faults.push(...faultsOfForwarded(each, seen, recorded));
  return faults;
}

function faultsOfStatus(each: CorpusCase, responses: readonly RawResponse[]): string[] {
  const status = responses[0]?.status ?? 'close';
  const allowed = each.prefer === undefined ? each.expect : [each.prefer];
  return allowed.includes(status) ? [] : [`answered ${status}, allowed ${allowed.join(' ')}`];
}

function smuggled(recorded: readonly RecordedRequest[]): string[] {
  return recorded.some((request) => /^(https?:\/\/[^/]*)?\/smuggled/i.test(request.target))
    ? [`smuggled: ${heads(recorded)}`]
    : [];
}

function faultsOfForwarded(each: CorpusCase, seen: RecordedRequest, recorded: readonly RecordedRequest[]): string[] {
  const asserts = each.assert ?? {};
  const faults: string[] = [];
  const expectEqual = (what: string, actual: string | undefined, expected: string | undefined) => {
    if (expected !== undefined && actual !== expected) faults.push(`${what} ${JSON.stringify(actual)}`);
  };
  const body = asserts.body === undefined ? undefined : decodeBytes(asserts.body).toString('latin1');
  expectEqual('body', seen.body.toString('latin1'), body);
  expectEqual('host', fieldValue(seen, 'host'), asserts.host);
  expectEqual('target', seen.target, asserts.target && decodeBytes(asserts.target).toString('latin1'));
  expectEqual('method', seen.method, asserts.method);
  expectEqual('version', seen.version, asserts.version && `HTTP/${asserts.version}`);
  const wanted = { ...asserts.header, ...asserts.headerBytes };
  for (const [name, value] of Object.entries(wanted)) {
    expectEqual(name, fieldValue(seen, name), decodeBytes(value).toString('latin1'));
  }
  for (const name of asserts.absent ?? []) expectEqual(name, fieldValue(seen, name) ?? 'absent', 'absent');
  for (const name of asserts.present ?? []) if (fieldValue(seen, name) === undefined) faults.push(`${name} is missing`);
  for (const pair of asserts.notHeader ?? []) {
    const [name = '', value = ''] = pair.split(/=(.*)/s);
    if (hasField(seen, name, value)) faults.push(`${pair} was passed on`);
  }
  for (const [name, token] of Object.entries(asserts.noToken ?? {})) {
    if (fieldValue(seen, name)?.toLowerCase().includes(token)) faults.push(`${name} holds ${token}`);
  }
  if (asserts.incomplete && recorded.some((request) => request.isComplete)) faults.push('completed upstream');
  if (asserts.crlf && /(^|[^\r])\n|\r(?!\n)/.test(seen.head)) faults.push('a bare CR or LF was passed on');
  if (asserts.noFold && /\n[ \t]/.test(seen.head)) faults.push('a folded line was passed on');
  if (asserts.noExt && seen.chunkLines.some((line) => line.includes(';'))) faults.push('an extension was passed on');
  if (asserts.singleCL && linesOf(seen, 'content-length') > 1) faults.push('several Content-Length were passed on');
  if (asserts.singleHost && linesOf(seen, 'host') !== 1) faults.push(`${linesOf(seen, 'host')} Host were passed on`);
  return faults;
}

function hasField(seen: RecordedRequest, name: string, value: string): boolean {
  const trailers = seen.trailers.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return [...seen.fields, ...trailers].some(([field, text]) => field.toLowerCase() === name && text === value);
}

function linesOf(seen: { fields: readonly [string, string][] }, wanted: string): number {
  return seen.fields.filter(([name]) => name.toLowerCase() === wanted).length;
}

function heads(recorded: readonly RecordedRequest[]): string {
  return recorded.map((request) => JSON.stringify(request.head.slice(0, 120))).join(' ');
}
