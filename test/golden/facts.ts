import type { RequestFacts } from '../../proxy/match/facts.ts';
import { normalisePath } from '../../proxy/match/normalise.ts';

/** What a test says of a request, as the engine would find it. */
export interface TestRequest {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** Value of Host, port included. */
  readonly authority: string;
  readonly rawPath: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clientAddress: string;
}

/** `GET http://shop.example:8080/a/b?c=d`, perhaps with ` from 10.0.0.1` after it; the authority may be empty. */
export function parseRequest(line: string, headers: Readonly<Record<string, string>> = {}): TestRequest {
  const [, text = '', clientAddress = '192.0.2.1'] = /^(.*?)(?: from ([0-9a-f.:]+))?$/s.exec(line) ?? [];
  const found = /^([A-Z]+) (https?):\/\/([^/?]*)([^?]*)(?:\?(.*))?$/.exec(text);
  if (!found) throw new Error(`not a request: ${line}`);
  return {
    method: found[1] as string,
    scheme: found[2] as 'http' | 'https',
    authority: found[3] as string,
    rawPath: Buffer.from(found[4] as string, 'utf8').toString('latin1'),
    query: found[5] ?? '',
    headers,
    clientAddress,
  };
}

/** @returns null when the path is refused with 400 */
export function factsOf(request: TestRequest): RequestFacts | null {
  const path = normalisePath(request.rawPath);
  if (path === null) return null;
  const valuesByName = new Map(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
  if (request.authority !== '') valuesByName.set('host', request.authority);
  const hostname = request.authority.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
  return {
    method: request.method,
    scheme: request.scheme,
    hostname,
    publicHostname: hostname,
    path,
    rawPath: request.rawPath,
    query: request.query,
    clientAddress: request.clientAddress,
    header: (name) => valuesByName.get(name),
  };
}
