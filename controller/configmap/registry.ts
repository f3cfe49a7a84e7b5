import { compressionKeys } from './compression.ts';
import { connectionKeys } from './connections.ts';
import { forwardedKeys } from './forwarded.ts';
import { hstsKeys } from './hsts.ts';
import { redirectKeys } from './redirect.ts';
import { sourceKeys } from './sources.ts';
import { streamKeys } from './streams.ts';
import { timeoutKeys } from './timeouts.ts';
import { tlsKeys } from './tls.ts';
import { tracingKeys } from './tracing.ts';
import { trafficKeys } from './traffic.ts';

/** Every key that is honoured. Most are those of ingress-nginx. */
export const configKeys = {
  ...redirectKeys,
  ...hstsKeys,
  ...forwardedKeys,
  ...sourceKeys,
  ...trafficKeys,
  ...timeoutKeys,
  ...connectionKeys,
  ...tlsKeys,
  ...compressionKeys,
  ...streamKeys,
  ...tracingKeys,
} as const;

export type ConfigKeyName = keyof typeof configKeys;

/** Values of the ConfigMap by key; absent where the key is absent or its value was bad. */
export type ConfigSettings = {
  readonly [K in ConfigKeyName]?: NonNullable<ReturnType<(typeof configKeys)[K]['parse']>>;
};
