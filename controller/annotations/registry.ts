import { affinityFamily } from './affinity.ts';
import { balanceFamily } from './balance.ts';
import { circuitFamily } from './circuit.ts';
import { clientAuthFamily, suitesFamily } from './clientauth.ts';
import { compressionFamily } from './compression.ts';
import { healthFamily } from './health.ts';
import { outlierFamily } from './outlier.ts';
import { redirectFamily } from './redirect.ts';
import { retryFamily } from './retry.ts';
import { rewriteFamily } from './rewrite.ts';
import { sourceFamily } from './sources.ts';
import { deadlineFamily, proxyTimeoutFamily } from './timeouts.ts';
import { tracingFamily } from './tracing.ts';
import { trafficFamily } from './traffic.ts';
import { subjectNamesFamily, upstreamTlsFamily } from './upstreamtls.ts';

/** Those that ingress-nginx does not have. */
const ownFamilies = {
  ...healthFamily,
  ...outlierFamily,
  ...circuitFamily,
  ...deadlineFamily,
  ...compressionFamily,
  ...subjectNamesFamily,
} as const;

export const ownNames: readonly string[] = Object.keys(ownFamilies);

/** Every annotation that is honoured, by name without prefix. */
export const registry = {
  ...redirectFamily,
  ...rewriteFamily,
  ...trafficFamily,
  ...proxyTimeoutFamily,
  ...retryFamily,
  ...balanceFamily,
  ...affinityFamily,
  ...upstreamTlsFamily,
  ...clientAuthFamily,
  ...sourceFamily,
  ...suitesFamily,
  ...tracingFamily,
  ...ownFamilies,
} as const;

export type AnnotationName = keyof typeof registry;

/** Values of one Ingress by annotation name; absent where the annotation is absent or its value was bad. */
export type Settings = {
  readonly [K in AnnotationName]?: NonNullable<ReturnType<(typeof registry)[K]['parse']>>;
};

/** Prefixes that annotations are read under, the one that wins first. */
export const prefixes = ['sluice.dev/', 'nginx.ingress.kubernetes.io/'] as const;
