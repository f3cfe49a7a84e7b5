/** Who gets the bytes of a connection, and hears of its fate. Never called inside end(), close(), reset() or destroy(). */
export interface Receiver {
  /** Where the next read goes; null: into the buffer that connections share. */
  readonly chunk: Buffer | null;
  /** Bytes came. They are the caller's again when this returns, unless they lie in `chunk`. */
  receive(bytes: Buffer, start: number, end: number): void;
  /** FIN came. */
  ended(): void;
  /** What waited to be sent is sent, FIN included where that was asked for. */
  emptied(): void;
  /** It is over, in whatever way. Nothing follows. */
  closed(): void;
}

/** Where a connection is counted. */
export interface Counter {
  /** Its peer broke the rules of its protocol. */
  offended(): void;
  /** It was ended for what it held. */
  shed(): void;
  /** Told last of all: it is over. */
  left(): void;
}

/**
 * A connection as the data path holds it: TCP or TLS, accepted or dialled. When both sides have sent FIN, or after an error,
 * it closes by itself. Whatever is asked of one that is closed is not done, without a word: `closed` is on its way.
 */
export interface Link {
  receiver: Receiver;
  counter: Counter | null;
  /** Written bytes that are not sent; 0 right after a write that the kernel took whole. */
  readonly unsentBytes: number;
  /** More waits to be sent than should, since the last time that nothing did. */
  readonly isFull: boolean;
  /** Bytes of writeLent() wait where they lie. */
  readonly holdsLent: boolean;
  /** What is written while nothing waits is copied within the call, whatever becomes of it. */
  readonly copies: boolean;
  /** What TLS has taken, beside the receiver's: of a client what it reads into, of a backend all of it. */
  readonly roomBytes: number;
  /** Before the dialled one is there. */
  readonly isConnecting: boolean;
  /** FIN was asked for. */
  readonly isEnding: boolean;
  readonly isDestroyed: boolean;
  /** Why it closed: ECONNRESET, ERR_SSL_…; '' without an error. */
  readonly fault: string;
  /** FIN came from a peer of which more was expected: what has no other end is perhaps not all there. */
  readonly isCutOff: boolean;

  /** The bytes are not copied unless `copies`: they stay as they are while `unsentBytes` is not 0. */
  write(bytes: Buffer): void;
  /** As Latin-1. */
  writeText(text: string): void;
  /**
   * Both texts as Latin-1, around bytes that are lent. Where these have to wait, the link is full until they are gone: who lends
   * them leaves them as they are for so long.
   */
  writeLent(before: string, bytes: Buffer, after: string): void;
  /** FIN follows what waits; reading goes on. */
  end(): void;
  /** The same, and then it is closed. */
  close(): void;
  /** Closed at once so that the peer cannot take what it has for a whole: RST, or TLS without close_notify. */
  reset(): void;
  /** Closed at once; one that is full with RST where that can be. */
  destroy(): void;
  /** Nothing is read until resume(), but what TLS has decrypted already may still come. */
  pause(): void;
  resume(): void;
}

/** What of a connection comes free at the end of a turn of the loop only, when it is destroyed now: what is in OpenSSL's hands. */
export function lateBytesOf({ copies, unsentBytes, roomBytes }: Link): number {
  return (copies ? unsentBytes : 0) + roomBytes;
}

const ignore = (): void => {};

export const nobody: Receiver = { chunk: null, receive: ignore, ended: ignore, emptied: ignore, closed: ignore };
