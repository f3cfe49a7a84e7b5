import type { Route } from '#table/route.ts';
import type { NextUpstream } from '../annotations/retry.ts';
import type { TranslateOptions } from './options.ts';

/** Settings that annotations and ConfigMap have in common, absent where nothing was said. */
interface WaitSettings {
  readonly 'proxy-connect-timeout'?: number;
  readonly 'proxy-send-timeout'?: number;
  readonly 'proxy-read-timeout'?: number;
  readonly 'per-try-timeout'?: number;
  readonly 'request-timeout'?: number;
  readonly 'websocket-idle-timeout'?: number;
  readonly 'proxy-next-upstream'?: NextUpstream;
  readonly 'proxy-next-upstream-timeout'?: number;
  readonly 'proxy-next-upstream-tries'?: number;
}

type Timeouts = TranslateOptions['timeouts'];

/** `usual` with what was said put over it. */
export function timeoutsOf(settings: WaitSettings, usual: Timeouts): Timeouts {
  return {
    connectMs: settings['proxy-connect-timeout'] ?? usual.connectMs,
    sendMs: settings['proxy-send-timeout'] ?? usual.sendMs,
    readMs: settings['proxy-read-timeout'] ?? usual.readMs,
    tryMs: settings['per-try-timeout'] ?? usual.tryMs,
    requestMs: settings['request-timeout'] ?? usual.requestMs,
    tunnelMs: settings['websocket-idle-timeout'] ?? usual.tunnelMs,
  };
}

export function retryOf(settings: WaitSettings, usual: Route['retry']): Route['retry'] {
  const said = settings['proxy-next-upstream'];
  return {
    attempts: settings['proxy-next-upstream-tries'] ?? usual.attempts,
    on: said?.on ?? usual.on,
    canRepeatUnsafe: said?.canRepeatUnsafe ?? usual.canRepeatUnsafe,
    withinMs: settings['proxy-next-upstream-timeout'] ?? usual.withinMs,
  };
}

export function routeTimeouts(settings: WaitSettings, options: TranslateOptions): Route['timeouts'] {
  const timeouts = timeoutsOf(settings, options.timeouts);
  // nginx knows one wait for both, and users who made it long for their WebSockets mean it.
  return { ...timeouts, tunnelMs: timeouts.tunnelMs ?? timeouts.readMs };
}

export function routeRetry(settings: WaitSettings, options: TranslateOptions): Route['retry'] {
  const retry = retryOf(settings, options.retry);
  return options.repeatsUnsafe ? { ...retry, canRepeatUnsafe: true } : retry;
}
