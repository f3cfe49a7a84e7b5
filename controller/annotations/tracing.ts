import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, parseBoolean } from './values.ts';

/** Spans of the requests of one Ingress; the collector is one for all (docs/configmap.md). */
export const tracingFamily = {
  'enable-opentelemetry': {
    scope: 'path',
    badValue: 'ignored',
    syntax: booleanSyntax,
    default: 'as the ConfigMap says',
    help: 'Sends a span of each request to the collector that the ConfigMap names, or none.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'opentelemetry-trust-incoming-span': {
    scope: 'path',
    badValue: 'ignored',
    syntax: booleanSyntax,
    default: 'as the ConfigMap says',
    help: 'Goes on with the trace that a client names in traceparent. false: each request begins a trace.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
} as const satisfies Family;
