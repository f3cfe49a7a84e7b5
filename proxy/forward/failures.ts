import type { RetryCause } from '#table/route.ts';
import type { ResponseFlag } from '../observe/record.ts';

/** How a try at a backend can fail. The only place that says what the client and the log are told of it. */
export interface Failure {
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly sentence: string;
  /** Which entry of a route's retry.on covers it; null: never tried again. */
  readonly retriedAs: RetryCause | null;
  /** false: the backend cannot have seen the request, so even a POST may be sent elsewhere. */
  readonly mayHaveRun: boolean;
  /** `abandoned`: it says nothing of the endpoint's health. */
  readonly result: 'local-failure' | 'unreachable' | 'abandoned';
}

export const failures = {
  refused: {
    status: 502,
    flag: 'UF',
    sentence: 'The gateway could not connect to the backend.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'unreachable',
  },
  connectTimeout: {
    status: 504,
    flag: 'UCT',
    sentence: 'The backend did not accept the connection in time.',
    retriedAs: 'timeout',
    mayHaveRun: false,
    result: 'local-failure',
  },
  // Whom an Ingress trusts is its own affair: one that names the wrong authority must not have endpoints ejected for all.
  untrusted: {
    status: 502,
    flag: 'UV',
    sentence: 'The certificate of the backend is not trusted.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
  tlsRefused: {
    status: 502,
    flag: 'UF',
    sentence: 'The gateway and the backend could not agree on TLS.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
  reset: {
    status: 502,
    flag: 'UC',
    sentence: 'The backend closed the connection before it had answered.',
    retriedAs: 'reset',
    mayHaveRun: true,
    result: 'local-failure',
  },
  // The connection lives: it is what the backend wants, and not its idle close crossing our request.
  streamReset: {
    status: 502,
    flag: 'UC',
    sentence: 'The backend ended the stream of the request before it had answered.',
    retriedAs: 'reset',
    mayHaveRun: true,
    result: 'local-failure',
  },
  // Its word that the request is malformed: no answer of its own was, but what nginx makes of it is the same cause of a retry.
  disliked: {
    status: 502,
    flag: 'UC',
    sentence: 'The backend ended the stream of the request before it had answered.',
    retriedAs: 'malformed',
    mayHaveRun: true,
    result: 'local-failure',
  },
  sendTimeout: {
    status: 504,
    flag: 'UST',
    sentence: 'The backend did not take the request in time.',
    retriedAs: 'timeout',
    mayHaveRun: true,
    result: 'local-failure',
  },
  readTimeout: {
    status: 504,
    flag: 'UT',
    sentence: 'The backend did not answer in time.',
    retriedAs: 'timeout',
    mayHaveRun: true,
    result: 'local-failure',
  },
  tryTimeout: {
    status: 504,
    flag: 'UTT',
    sentence: 'No try at the backend was answered in the time that this route gives it.',
    retriedAs: 'timeout',
    mayHaveRun: true,
    result: 'local-failure',
  },
  // There was no connection yet, and so nothing of the request has left.
  tryUnsent: {
    status: 504,
    flag: 'UTT',
    sentence: 'No try at the backend was answered in the time that this route gives it.',
    retriedAs: 'timeout',
    mayHaveRun: false,
    result: 'local-failure',
  },
  requestTimeout: {
    status: 504,
    flag: 'DT',
    sentence: 'The request took longer than this route allows.',
    retriedAs: null,
    mayHaveRun: true,
    result: 'abandoned',
  },
  malformed: {
    status: 502,
    flag: 'UPE',
    sentence: 'The backend sent an answer that is not valid HTTP.',
    retriedAs: 'malformed',
    mayHaveRun: true,
    result: 'local-failure',
  },
  // The usual mistake in a Service or an Ingress: the pods, or some of them, speak HTTP/1.1. No request has left.
  notHttp2: {
    status: 502,
    flag: 'UPE',
    sentence: 'The backend does not speak HTTP/2, which its Service or Ingress says that it does.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'local-failure',
  },
  // The answers of all who are on the connection end with it, whoever's was wrong: to them it was closed before they had one.
  ruleBroken: {
    status: 502,
    flag: 'UPE',
    sentence: 'The backend broke a rule of HTTP/2, which ended the connection before it had answered.',
    retriedAs: 'reset',
    mayHaveRun: true,
    result: 'local-failure',
  },
  noRoom: {
    status: 503,
    flag: 'UO',
    sentence: 'The backend has as many connections as it may have, and none became free in time.',
    retriedAs: null,
    mayHaveRun: false,
    result: 'abandoned',
  },
  exhausted: {
    status: 503,
    flag: 'OM',
    sentence: 'The gateway can open no more connections now.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
  compressor: {
    status: 503,
    flag: 'OM',
    sentence: 'The gateway has no memory to compress the answer.',
    retriedAs: null,
    mayHaveRun: true,
    result: 'abandoned',
  },
  unprocessed: {
    status: 503,
    flag: 'UF',
    sentence: 'The backend turned the request away without having looked at it.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
  // They waited for the connection, and the backend has turned out to take fewer on one: none of it has left.
  crowded: {
    status: 503,
    flag: 'UF',
    sentence: 'The backend takes fewer requests on a connection than came at once.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
  // It has said so beforehand, and may end the connection with everybody's requests otherwise.
  headTooLong: {
    status: 431,
    flag: 'RL',
    sentence: 'The request head is larger than the backend takes.',
    retriedAs: null,
    mayHaveRun: false,
    result: 'abandoned',
  },
  // It is going, with however many requests it has: to send them elsewhere is no load on it.
  leftBehind: {
    status: 503,
    flag: 'UF',
    sentence: 'The backend closed the connection without having looked at the request.',
    retriedAs: 'connect',
    mayHaveRun: false,
    result: 'abandoned',
  },
} as const satisfies Record<string, Failure>;
