import { propertyOf } from './read.ts';

/** The API server has answered, and not with what was asked for. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly retryAfterMs: number | null;

  constructor(status: number, message: string, retryAfterMs: number | null) {
    super(`${status}: ${message}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** @param body what it says, if it is JSON */
export function failureOf(status: number, body: unknown, retryAfterMs: number | null): ApiFailure {
  const message = propertyOf(body, 'message');
  const reason = typeof message === 'string' && message !== '' ? message : 'no reason given';
  return new ApiFailure(status, reason, retryAfterMs);
}
