// Where an HTTP/1.1 connection to a backend is.

export const phaseConnecting = 0;
/** In the pool: whatever comes now was not asked for. */
export const phaseIdle = 1;
/** A request is being sent or was; no final response head has come. */
export const phaseHead = 2;
export const phaseBody = 3;
export const phaseTunnel = 4;
/** Nobody wants the answer any more, but the backend may still be at work on it. */
export const phaseAbandoned = 5;
export const phaseClosed = 6;
/** As idle, but not in the pool yet: a body may follow that must not. */
export const phaseResting = 7;
