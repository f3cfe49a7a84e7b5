import { booleanSyntax, oneOf, parseBoolean, parseSizeBytes } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

/** What Ingresses without an annotation of their own get. */
export const trafficKeys = {
  'proxy-body-size': {
    syntax: 'a size (digits and an optional b, k, m or g)',
    default: '1m',
    flag: null,
    help: 'Longest request body, else 413; 0: no limit.',
    parse: parseSizeBytes,
  } satisfies ConfigKey<number>,
  'load-balance': {
    syntax: 'round_robin, least_request or ewma',
    default: 'least_request',
    flag: null,
    help: 'How an endpoint is chosen where neither affinity nor a hash decides.',
    parse: oneOf(['round_robin', 'least_request', 'ewma']),
  } satisfies ConfigKey<string>,
  'service-upstream': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Forwards to the cluster IP of Services instead of their endpoints, for service meshes. Headless ones keep their endpoints.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'allow-cross-namespace-resources': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Whether annotations may name Secrets of other namespaces than that of their Ingress.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
} as const satisfies KeyFamily;
