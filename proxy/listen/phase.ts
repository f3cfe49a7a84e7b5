// Where an HTTP/1.1 connection of a client is; below phaseBody it reads a request head.

export const phaseIdle = 0;
/** Part of a head has come. */
export const phaseHead = 1;
export const phaseBody = 2;
/** The request is complete, its answer is not; what comes now is the next request. */
export const phaseWaiting = 3;
export const phaseTunnel = 4;
/** Answered for the last time; what still comes is thrown away until the client closes. */
export const phaseLinger = 5;
/** Answered, but the client has not read it yet: whoever pipelines without reading must not fill the worker. */
export const phaseFlushing = 6;
export const phaseClosed = 7;
/** A long head, or the beginning of one, is here and waits for its turn (turns.ts). */
export const phaseTurn = 8;
/** The body broke a rule, which waits for its turn to be told; of a request that no backend has begun to get, at once: it never goes. */
export const phaseBroken = 9;
