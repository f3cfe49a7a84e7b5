import { z } from 'zod';
import type { Tracing } from '#table/tracing.ts';
import { booleanSyntax, oneOf, parseBoolean, wholeNumber } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';
import type { ConfigSettings } from './registry.ts';

/** Spans, and the collector that they are sent to. */
export const tracingKeys = {
  'enable-opentelemetry': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Sends a span of each request to the collector of otlp-collector-host, as OTLP over HTTP.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'otlp-collector-host': {
    syntax: 'a host name or an address',
    default: 'none; without it nothing is traced',
    flag: null,
    help: 'Collector of spans.',
    parse: parseHost,
  } satisfies ConfigKey<string>,
  'otlp-collector-port': {
    syntax: 'a port that speaks OTLP over HTTP (4317 is where collectors speak gRPC)',
    default: '4318',
    flag: null,
    help: 'Port of the collector.',
    parse: (value) => (value === '4317' ? undefined : wholeNumber(1, 65_535)(value)),
  } satisfies ConfigKey<number>,
  'otel-service-name': {
    syntax: 'a name of 1 to 100 printable ASCII characters',
    default: 'sluice',
    flag: null,
    help: 'Name of the service that spans are of.',
    parse: (value) => (/^[\x21-\x7e]{1,100}$/.test(value) ? value : undefined),
  } satisfies ConfigKey<string>,
  'otel-sampler': {
    syntax: 'AlwaysOn, AlwaysOff or TraceIdRatioBased',
    default: 'AlwaysOn',
    flag: null,
    help: 'Which requests are sampled: all, none, or as many as otel-sampler-ratio says.',
    parse: oneOf(['AlwaysOn', 'AlwaysOff', 'TraceIdRatioBased']),
  } satisfies ConfigKey<string>,
  'otel-sampler-ratio': {
    syntax: 'a number from 0 to 1',
    default: '0.01',
    flag: null,
    help: 'Share of requests that TraceIdRatioBased samples.',
    parse: (value) => (/^(?:0?\.\d{1,9}|0|1(?:\.0{1,9})?)$/.test(value) ? Number(value) : undefined),
  } satisfies ConfigKey<number>,
  'otel-sampler-parent-based': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: "Whether a client's word that its trace is sampled, or not, goes before the sampler. That of a trusted proxy always does.",
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'opentelemetry-trust-incoming-span': {
    syntax: booleanSyntax,
    default: 'true',
    flag: null,
    help: 'Goes on with the trace that a client names in traceparent. false: each request begins a trace.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'otel-max-queuesize': {
    syntax: 'a whole number from 1 to 100000',
    default: '2048',
    flag: null,
    help: 'Spans that a worker holds until they are sent; more are dropped, and counted.',
    parse: wholeNumber(1, 100_000),
  } satisfies ConfigKey<number>,
  'otel-max-export-batch-size': {
    syntax: 'a whole number from 1 to 10000',
    default: '512',
    flag: null,
    help: 'Spans that are sent at a time.',
    parse: wholeNumber(1, 10_000),
  } satisfies ConfigKey<number>,
  'otel-schedule-delay-millis': {
    syntax: 'a whole number from 1 to 60000',
    default: '5000',
    flag: null,
    help: 'Longest that a span waits for others, ms.',
    parse: wholeNumber(1, 60_000),
  } satisfies ConfigKey<number>,
} as const satisfies KeyFamily;

/** null: nobody would take spans. */
export function tracingOf(settings: ConfigSettings): Tracing | null {
  const host = settings['otlp-collector-host'];
  if (host === undefined) return null;
  const ratios: Readonly<Record<string, number>> = {
    AlwaysOn: 1,
    AlwaysOff: 0,
    TraceIdRatioBased: settings['otel-sampler-ratio'] ?? 0.01,
  };
  return {
    endpoint: `http://${host.includes(':') ? `[${host}]` : host}:${settings['otlp-collector-port'] ?? 4318}/v1/traces`,
    serviceName: settings['otel-service-name'] ?? 'sluice',
    isOn: settings['enable-opentelemetry'] ?? false,
    continues: settings['opentelemetry-trust-incoming-span'] ?? true,
    ratio: ratios[settings['otel-sampler'] ?? 'AlwaysOn'] ?? 1,
    sampledBy: settings['otel-sampler-parent-based'] === true ? 'everybody' : 'trusted-proxies',
    queue: settings['otel-max-queuesize'] ?? 2_048,
    batch: settings['otel-max-export-batch-size'] ?? 512,
    delayMs: settings['otel-schedule-delay-millis'] ?? 5_000,
  };
}

function parseHost(value: string): string | undefined {
  const isName = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\.?$/i.test(value);
  // What looks like an address and is none would be no URL: `10.0.0.1:4318`, `999.0.0.1`.
  const isUsable = isName ? URL.canParse(`http://${value}`) : z.ipv6().safeParse(value).success;
  return isUsable ? value : undefined;
}
