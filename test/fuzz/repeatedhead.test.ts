import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Limits } from '../../proxy/listen/limits.ts';
import { Head } from '../../proxy/parse/head.ts';
import { parseRequestHead, RequestLine } from '../../proxy/parse/requestline.ts';
import { parseResponseHead, ResponseLine } from '../../proxy/parse/responsehead.ts';

const sections = [
  'Host: gw.test\r\nAccept: */*\r\n\r\n',
  // As long, but for a letter; a field less; a field more; what another one begins with; none at all; too many; too long to be kept.
  'Host: gw.test\r\nAccept: */+\r\n\r\n',
  'Host: gw.test\r\n\r\n',
  'Host: gw.test\r\nAccept: */*\r\nX: y\r\n\r\n',
  'Host: gw.test\r\nAccept: */*\r\n',
  '\r\n',
  'Host: gw.test\r\nUnder_Score: 1\r\nX:\t 2 \r\n\r\n',
  `${'X: y\r\n'.repeat(12)}\r\n`,
  `X: ${'y'.repeat(3_000)}\r\n\r\n`,
  'Host: gw.test\r\nAcc ept: */*\r\n\r\n',
  'Host: gw.test\r\nAccept: *\0*\r\n\r\n',
];
const requestLines = ['GET / HTTP/1.1\r\n', 'GET /a/b?c=d HTTP/1.1\r\n', 'POST / HTTP/1.0\r\n', 'GET  / HTTP/1.1\r\n'];
const statusLines = ['HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200\r\n', 'HTTP/1.0 404 Not Found\r\n', 'HTTP/1.1 20 OK\r\n'];
const narrow = Limits.parse({
  headBytes: 1_024,
  headFields: 10,
  responseHeadBytes: 1_024,
  responseHeadFields: 10,
});
const limits = [Limits.parse({}), narrow] as const;

const messages = fc.array(
  fc.record({
    line: fc.nat(3),
    section: fc.oneof({ weight: 3, arbitrary: fc.nat(2) }, fc.nat(sections.length - 1)),
    /** Bytes before it, and how much of it and of what follows is there. */
    offset: fc.nat(40),
    rest: fc.constantFrom('', 'body', 'GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n'),
    missing: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(60)),
    isNarrow: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** What a parser made of a head. */
function outcome(after: number, line: object, head: Head): object {
  if (after <= 0) return { after };
  const { text, count } = head;
  const parts = [head.ids, head.nameStarts, head.nameEnds, head.valueStarts, head.valueEnds];
  return { after, line: { ...line }, text, count, parts: parts.map((part) => [...part.subarray(0, count)]) };
}

const kinds = {
  request: (head: Head, ...rest: [Buffer, number, number, Limits]) => {
    const line = new RequestLine();
    return outcome(parseRequestHead(line, head, ...rest), line, head);
  },
  response: (head: Head, ...rest: [Buffer, number, number, Limits]) => {
    const line = new ResponseLine();
    return outcome(parseResponseHead(line, head, ...rest), line, head);
  },
};

for (const [kind, parse] of Object.entries(kinds)) {
  const lines = kind === 'request' ? requestLines : statusLines;
  test(`a ${kind} head means what it would mean if no other had come before`, () => {
    fc.assert(
      fc.property(messages, (sent) => {
        const kept = new Head();
        for (const { line, section, offset, rest, missing, isNarrow } of sent) {
          const text = `${'z'.repeat(offset)}${lines[line]}${sections[section]}${rest}`;
          const bytes = Buffer.from(text.slice(0, Math.max(offset, text.length - missing)), 'latin1');
          const where = [bytes, offset, bytes.length, limits[Number(isNarrow)] as Limits] as const;
          assert.deepEqual(parse(kept, ...where), parse(new Head(), ...where));
          // As the pool of exchanges does.
          kept.count = 0;
          kept.text = '';
        }
      }),
      { numRuns: 2_000 },
    );
  });
}
