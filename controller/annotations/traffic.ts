import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, oneOf, parseBoolean, parseSizeBytes } from './values.ts';

const badValue = 'ignored';

/** Limits on one request, and how its backend is spoken to. */
export const trafficFamily = {
  'proxy-body-size': {
    scope: 'path',
    badValue,
    syntax: 'a size (digits and an optional b, k, m or g)',
    default: '1m',
    help: 'Longest request body, else 413; 0: no limit.',
    parse: parseSizeBytes,
  } satisfies Annotation<number>,
  'backend-protocol': {
    scope: 'path',
    badValue,
    syntax: 'HTTP, HTTPS, AUTO_HTTP, GRPC, GRPCS or FCGI',
    default: 'appProtocol of the Service port, else HTTP',
    help: 'Protocol of the backend. AUTO_HTTP: that of the client. GRPC and GRPCS are HTTP/2 without and with TLS. HTTPS and GRPCS verify with proxy-ssl-verify. FCGI is answered with 503.',
    parse: oneOf(['HTTP', 'HTTPS', 'AUTO_HTTP', 'GRPC', 'GRPCS', 'FCGI']),
  } satisfies Annotation<string>,
  'service-upstream': {
    scope: 'service',
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'Forwards to the cluster IP of the Service instead of its endpoints, for service meshes. A headless Service keeps its endpoints.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
} as const satisfies Family;
