import type { Socket } from 'node:net';
import { type AttackOptions, drip } from './attack.ts';

const head = 'Host: gw.test\r\n';
const get = (path: string) => `GET ${path} HTTP/1.1\r\n${head}\r\n`;
const post = (fields: string) => `POST / HTTP/1.1\r\n${head}${fields}\r\n\r\n`;

/** Sends something, then a piece of more every now and then: faster than any silence is allowed. */
function dripping(first: string, piece: string): (socket: Socket) => () => void {
  return (socket) => {
    socket.write(first, 'latin1');
    return drip(socket, piece, 500);
  };
}

function asking(text: string): (socket: Socket) => undefined {
  return (socket) => {
    socket.write(text, 'latin1');
  };
}

/** Reads nothing, or nothing any more. */
function unread(text: string): (socket: Socket) => undefined {
  return (socket) => {
    socket.write(text, 'latin1');
    socket.pause();
  };
}

/** Preface, SETTINGS with the given pairs, acknowledgement of theirs. */
export function h2Preface(settings: string): string {
  const length = String.fromCharCode(0, 0, settings.length);
  return `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${length}\x04\0\0\0\0\0${settings}\0\0\0\x04\x01\0\0\0\0`;
}

/** GET https://gw.test/large: static table entries but for the path and the authority, without Huffman code. */
const h2Request = `\x82\x87\x04\x06/large\x01\x07gw.test`;
const h2Headers = `\0\0${String.fromCharCode(h2Request.length)}\x01\x05\0\0\0\x01${h2Request}`;

/** Ways to hold a connection without asking anything, or without taking the answer; `gw.test/large` is a long one. */
export const attacks: Record<string, Pick<AttackOptions, 'behave' | 'isTls' | 'alpn'>> = {
  'nothing at all': {},
  'a head, byte by byte': { behave: dripping('GET / HTTP/1.1\r\nX: ', 'a') },
  'a head, field by field': { behave: dripping('GET / HTTP/1.1\r\n', 'X: 1\r\n') },
  'empty lines before a request': { behave: dripping('', '\r\n') },
  'empty lines after an answer': { behave: dripping(get('/'), '\r\n') },
  'a body with a length, byte by byte': { behave: dripping(post('Content-Length: 100000'), 'a') },
  'a chunked body, byte by byte': { behave: dripping(post('Transfer-Encoding: chunked'), '1\r\na\r\n') },
  'a chunk size without end': { behave: dripping(post('Transfer-Encoding: chunked'), '0') },
  'a body that stops': { behave: asking(`${post('Content-Length: 100000')}abc`) },
  'fields without end': {
    behave(socket) {
      socket.write(`GET / HTTP/1.1\r\n${head}`);
      return drip(socket, `X-Field: ${'a'.repeat(1_000)}\r\n`.repeat(10), 5);
    },
  },
  'chunk extensions without end': {
    behave(socket) {
      socket.write(`${post('Transfer-Encoding: chunked')}1`);
      return drip(socket, `;a=${'b'.repeat(10_000)}`, 5);
    },
  },
  'a question whose answer is not read': { behave: unread(get('/large')) },
  'questions whose answers are not read': { behave: unread(get('/large').repeat(20)) },
  'nothing, over TLS': { isTls: true },
  'a question over TLS whose answer is not read': { isTls: true, behave: unread(get('/large')) },
  'nothing, over HTTP/2': { isTls: true, alpn: 'h2' },
  'SETTINGS and nothing more, over HTTP/2': { isTls: true, alpn: 'h2', behave: asking(h2Preface('')) },
  'a question over HTTP/2 with no window for its answer': {
    isTls: true,
    alpn: 'h2',
    behave: asking(h2Preface('\0\x04\0\0\0\0') + h2Headers),
  },
};
