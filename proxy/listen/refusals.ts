import type { ResponseFlag } from '../observe/record.ts';
import { badVersion, headTooLong, lineTooLong, tooManyFields, unknownMethod } from '../parse/requestline.ts';

/** Why the gateway does not take a request. The connection closes after it: what follows may be part of the attack. */
export interface Refusal {
  readonly status: number;
  readonly flag: ResponseFlag;
  /** Told to the client. */
  readonly sentence: string;
}

function refusal(status: number, sentence: string, flag: ResponseFlag = 'DPE'): Refusal {
  return { status, sentence, flag };
}

export const refusals = {
  syntax: refusal(400, 'The request is not valid HTTP/1.1.'),
  version: refusal(505, 'Only HTTP/1.0 and HTTP/1.1 are spoken here.'),
  method: refusal(501, 'This method is not known here.'),
  target: refusal(400, 'The request target is not valid.'),
  path: refusal(400, 'The path is ambiguous: it holds an encoding that servers read differently.'),
  host: refusal(400, 'The request needs exactly one valid Host.'),
  connection: refusal(400, 'The Connection field is too long.'),
  contentLength: refusal(400, 'Content-Length is not one plain number.'),
  transferEncoding: refusal(400, 'The framing of the body is ambiguous.'),
  coding: refusal(501, 'The only transfer coding known here is chunked.'),
  chunk: refusal(400, 'The chunked body is malformed.'),
  expectation: refusal(417, 'The only expectation known here is 100-continue.'),
  lineTooLong: refusal(414, 'The request line is too long.', 'RL'),
  headTooLong: refusal(431, 'The request head is too large.', 'RL'),
  bodyTooLong: refusal(413, 'The request body is larger than this route allows.', 'RL'),
  headTimeout: refusal(408, 'The request head did not arrive in time.', 'DHT'),
  bodyTimeout: refusal(408, 'The request body did not arrive in time.', 'DBT'),
  noCertificate: refusal(400, 'This host asks clients for a certificate, and none was sent.', 'CC'),
  badCertificate: refusal(400, 'The certificate that the client sent is not trusted here.', 'CC'),
  wrongSubject: refusal(403, 'The certificate that the client sent is for somebody else.', 'CC'),
  misdirected: refusal(
    421,
    'This connection was opened for a host that trusts other clients; open one for this host.',
    'CC',
  ),
  passedThrough: refusal(421, 'This host ends TLS itself; open a connection for it.', 'NR'),
  proofNeedsTls: refusal(400, 'This host asks clients for a certificate, which only https can carry.', 'CC'),
  truncated: refusal(400, 'The connection was closed inside the request.', 'DC'),
  memory: refusal(503, 'The gateway has no room for more requests now.', 'OM'),
  overload: refusal(503, 'The gateway has no room for more connections now.', 'OM'),
} as const;

/** @param code negative result of parseRequestHead */
export function refusalOf(code: number): Refusal {
  switch (code) {
    case tooManyFields:
    case headTooLong:
      return refusals.headTooLong;
    case lineTooLong:
      return refusals.lineTooLong;
    case unknownMethod:
      return refusals.method;
    case badVersion:
      return refusals.version;
    default:
      return refusals.syntax;
  }
}
