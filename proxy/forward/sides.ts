import type { ClientProof } from '../listen/clientproof.ts';
import type { Door } from '../listen/door.ts';
import type { LoggedClient } from '../observe/record.ts';
import type { Head } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import type { Exchange } from './exchange.ts';

/** Who is at the other end of a client connection; the same for all of its requests. */
export interface Peer {
  readonly door: Door;
  readonly address: string;
  readonly isTrusted: boolean;
  /** SNI; '' without. */
  readonly serverName: string;
  /** How the client came to the first of us, and to which port. */
  readonly scheme: 'http' | 'https';
  readonly port: number;
  /** What the client showed, where it was asked for a certificate; null: it was not. */
  readonly proof: ClientProof | null;
  /** Forwarding fields that are the same for every request of the connection; made at the first. */
  forwardedLines: string;
  /** Of the host that was asked for last. */
  hostHash: number;
  /** One that was asked for twice in a row, and what is the same for every request to it (requesthead.ts). */
  host: string;
  hostLines: string;
  loggedClient: LoggedClient | null;
}

/**
 * The client's end of an exchange: an HTTP/1.1 connection, or one stream of an HTTP/2 connection. What an answer is made of
 * comes in this order: interim heads; then either one local answer, or a head, body pieces and the end.
 */
export interface ClientSide {
  readonly peer: Peer;
  /** The client does not take more for now; the exchange's upstream is resumed when it does. */
  readonly isFull: boolean;
  /** Written bytes wait where they lie, in memory that was lent for it (relay.ts). */
  readonly holdsLent: boolean;
  /** The client will send no more: FIN, or END_STREAM. */
  readonly hasEnded: boolean;

  writeInterim(exchange: Exchange, line: ResponseLine, head: Head): void;
  /** The final head of a backend. It may wait for the body bytes of the same read; flush() says that none came with it. */
  writeHead(exchange: Exchange, line: ResponseLine, head: Head): void;
  flush(exchange: Exchange): void;
  /**
   * Body bytes, decoded.
   * @param trailers null: more follows; else this piece, perhaps empty, is the last
   * @param isLent false: the range lies in a shared buffer. true: nobody writes into it while this side is full
   */
  writeBody(
    exchange: Exchange,
    buffer: Buffer,
    start: number,
    end: number,
    trailers: Head | null,
    isLent: boolean,
  ): void;
  /** A whole answer of the gateway itself. @param lines `Name: value` CRLF each, without framing */
  writeAnswer(exchange: Exchange, status: number, lines: string, body: string): void;
  /** The backend agreed to speak websocket: what follows in both directions are bytes that nobody reads. */
  startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void;
  /** Nothing more comes for the client; it may still send. Only in a tunnel. */
  end(): void;

  /** Reads no more of the request until resume(). */
  pause(): void;
  resume(): void;
  /**
   * Ends so that what was sent cannot be taken for a whole.
   * @param trailers field lines that say so behind a body, where the client can read them; else it is broken off
   */
  cutOff(trailers: string): void;
  /** Nothing new is taken on the connection; it ends after what it has. */
  drain(): void;
  /** The exchange is over and its record is written: it is this side's again. */
  exchangeEnded(exchange: Exchange): void;
}

/** The backend's end of an exchange: an HTTP/1.1 connection, or one stream of an HTTP/2 connection. */
export interface UpstreamSide {
  /** false: it is being opened. Nothing may be written yet; what comes of the body is kept in `exchange.replay`. */
  readonly isConnected: boolean;
  /** It has carried a request before: its end may be the backend's idle close and not a failure. */
  readonly isReused: boolean;
  /** Bytes of this response have come. */
  readonly hasAnswered: boolean;
  /** The backend will send no more: FIN, or END_STREAM. */
  readonly hasEnded: boolean;
  /** The backend does not take more for now; the exchange's client is resumed when it does. */
  readonly isFull: boolean;
  /** Written bytes wait where they lie, in memory that was lent for it (relay.ts). */
  readonly holdsLent: boolean;
  /** Where a long answer is read; null: into what all share. */
  readonly chunk: Buffer | null;
  /** What TLS has taken for it alone. */
  readonly roomBytes: number;
  /** The beginning of a head whose end has not come. */
  readonly heldBytes: number;

  /** Makes the request's head from the exchange. It waits (`exchange.isHeadPending`) for the connection, or for the body bytes of the same read. */
  assign(exchange: Exchange, nowMs: number): void;
  /** The head waits no longer. */
  flush(): void;
  /** Body bytes, decoded; as in ClientSide. */
  writeBody(
    exchange: Exchange,
    buffer: Buffer,
    start: number,
    end: number,
    trailers: Head | null,
    isLent: boolean,
  ): void;
  /** Nothing more comes for the backend; it may still send. Only in a tunnel. */
  end(): void;

  /** Reads no more of the response until resume(). */
  pause(): void;
  resume(): void;
  /** After a tunnel: what was written still goes out, but not for ever. */
  endSoon(): void;
  /** Ends the try without telling the exchange; no later request meets what is left of it. */
  destroy(): void;
  /** The same, because nobody wants an answer any more; the backend may still be at work on one. */
  abandon(): void;
}
