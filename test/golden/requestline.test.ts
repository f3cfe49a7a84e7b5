import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Limits } from '../../proxy/listen/limits.ts';
import { badSyntax, Head, needsMore } from '../../proxy/parse/head.ts';
import { badVersion, parseRequestHead, RequestLine, unknownMethod } from '../../proxy/parse/requestline.ts';

const limits = Limits.parse({});

function verdictOn(bytes: Buffer, end: number): number {
  return parseRequestHead(new RequestLine(), new Head(), bytes, 0, end, limits);
}

const heads: [head: string, verdict: number][] = [
  ['GET / HTTP/2.0\r\n\r\n', badVersion],
  ['POST /a HTTP/0.9\r\nHost: a\r\n\r\n', badVersion],
  ['GET / HTTP/1.2\r\n\r\n', badVersion],
  ['GET / HTTP/2\r\n\r\n', badSyntax],
  ['GET / HTTP/2.0 \r\n\r\n', badSyntax],
  ['GET / HTTP/11.1\r\n\r\n', badSyntax],
  ['FETCH / HTTP/1.1\r\n\r\n', unknownMethod],
  ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 27],
];
for (const [head, verdict] of heads)
  test(`of ${JSON.stringify(head)} the same is said in however many pieces it comes`, () => {
    const bytes = Buffer.from(head, 'latin1');
    assert.equal(verdictOn(bytes, bytes.length), verdict);
    for (let end = 1; end < bytes.length; end++) {
      const early = verdictOn(bytes, end);
      assert.ok(early === needsMore || early === verdict, `${early} after ${end} bytes`);
    }
  });
