import type { Problem, Source } from '#table/problem.ts';
import type { TranslateOptions } from '../translate/options.ts';
import { problem } from '../translate/problems.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { type ObjectKey, splitKey } from '../watch/view.ts';
import type { ConfigKey } from './key.ts';
import { type ConfigKeyName, type ConfigSettings, configKeys } from './registry.ts';
import { unhonouredKeys } from './unhonoured.ts';

type GivenOptions = Pick<TranslateOptions, 'tcpServices'>;

/** What the ConfigMap says. */
export interface ReadConfigMap {
  settings: ConfigSettings;
  /** A key that protects every host and is not honoured: all paths answer 503. null: none. */
  closedBy: Source | null;
  problems: Problem[];
}

/**
 * Reads the ConfigMap of the gateway. Never throws; one that is not there says nothing, which is a problem, too.
 * @param key its `namespace/name`
 * @param given what the command line says; a key may have an effect there alone
 */
export function readConfigMap(
  configMap: ObjectOf<'ConfigMap'> | undefined,
  key: ObjectKey,
  given: GivenOptions,
): ReadConfigMap {
  const [namespace, name] = splitKey(key);
  const source: Source = { kind: 'ConfigMap', namespace, name };
  if (configMap === undefined) {
    const missing = problem('ConfigMapNotFound', source, { configMap: key });
    return { settings: {}, closedBy: null, problems: [missing] };
  }
  const settings: Record<string, unknown> = {};
  const problems: Problem[] = [];
  let closedBy: Source | null = null;
  for (const [name, value] of Object.entries(configMap.data).sort(byName)) {
    const at: Source = { ...source, field: `data[${name}]` };
    if (isHonoured(name)) {
      const { parse, syntax, default: usual, flag, whenBad }: ConfigKey<unknown> = configKeys[name];
      const parsed = parse(value);
      settings[name] = parsed ?? whenBad?.value;
      if (parsed !== undefined) continue;
      const effect = whenBad?.effect ?? (flag === null ? `the default holds (${usual})` : `${flag} holds`);
      problems.push(problem('ConfigKeyInvalid', at, { key: name, value, syntax, effect }));
      continue;
    }
    const missing = unhonouredKeys.get(name);
    if (missing === undefined) {
      problems.push(problem('ConfigKeyUnknown', at, { key: name }));
    } else if (!missing.harmless.includes(value.trim())) {
      const { advice, closes } = missing;
      if (closes) closedBy ??= at;
      problems.push(problem(closes ? 'ConfigKeyDenies' : 'ConfigKeyNotHonoured', at, { key: name, advice }));
    }
  }
  problems.push(...withoutEffect(source, settings, given));
  return { settings, closedBy, problems };
}

/**
 * The ConfigMap is there and is no object that can be read, as a file may hold one. It may say who may come, so nobody does until
 * it is corrected.
 * @param key its `namespace/name`
 */
export function closedConfigMap(key: ObjectKey): ReadConfigMap {
  const [namespace, name] = splitKey(key);
  const closedBy: Source = { kind: 'ConfigMap', namespace, name };
  return { settings: {}, closedBy, problems: [problem('ConfigMapUnreadable', closedBy, { configMap: key })] };
}

/** Good values that do nothing, or less than they say. */
function withoutEffect(source: Source, settings: ConfigSettings, given: GivenOptions): Problem[] {
  const problems: Problem[] = [];
  for (const { keys, when, reason } of idle) {
    if (!when(settings, given)) continue;
    for (const key of keys) {
      if (settings[key] === undefined) continue;
      const at: Source = { ...source, field: `data[${key}]` };
      problems.push(problem('ConfigKeyWithoutEffect', at, { key, reason }));
    }
  }
  return problems;
}

/** Which keys do nothing, and when. */
const idle: readonly {
  keys: readonly ConfigKeyName[];
  when(settings: ConfigSettings, given: GivenOptions): boolean;
  reason: string;
}[] = [
  {
    keys: ['proxy-real-ip-cidr'],
    when: (settings, { tcpServices }) =>
      settings['use-forwarded-headers'] !== true && settings['use-proxy-protocol'] !== true && tcpServices === null,
    reason: 'it needs use-forwarded-headers or use-proxy-protocol beside it',
  },
  {
    keys: ['proxy-protocol-header-timeout'],
    when: (settings, { tcpServices }) => settings['use-proxy-protocol'] !== true && tcpServices === null,
    reason: 'it needs use-proxy-protocol beside it',
  },
  {
    keys: ['hsts-max-age', 'hsts-include-subdomains', 'hsts-preload'],
    when: ({ hsts }) => hsts === false,
    reason: 'hsts is false',
  },
  {
    keys: ['ssl-protocols'],
    when: (settings) => settings['ssl-protocols']?.hasOlder === true,
    reason: 'for versions before 1.2, which are never spoken',
  },
  {
    keys: ['ssl-ciphers'],
    when: (settings) => settings['ssl-protocols']?.min === 'TLSv1.3',
    reason: 'ssl-protocols leaves TLS 1.3 alone, whose suites are always all',
  },
  {
    keys: ['ssl-session-timeout'],
    when: (settings) => settings['ssl-session-tickets'] === false,
    reason: 'ssl-session-tickets is false, and sessions are resumed by tickets alone',
  },
  {
    keys: ['keep-alive-requests'],
    when: (settings) => settings['keep-alive'] === 0,
    reason: 'keep-alive is 0, so that a connection takes one request',
  },
  {
    keys: ['http2-max-concurrent-streams'],
    when: (settings) => settings['use-http2'] === false,
    reason: 'use-http2 is false',
  },
  {
    keys: ['gzip-level', 'gzip-min-length', 'gzip-types'],
    when: (settings) => settings['use-gzip'] !== true,
    reason: 'it needs use-gzip beside it',
  },
  {
    keys: ['brotli-level', 'brotli-min-length', 'brotli-types'],
    when: (settings) => settings['enable-brotli'] !== true,
    reason: 'it needs enable-brotli beside it',
  },
  {
    keys: ['proxy-stream-next-upstream-timeout', 'proxy-stream-next-upstream-tries'],
    when: (settings) => settings['proxy-stream-next-upstream'] === false,
    reason: 'proxy-stream-next-upstream is false',
  },
  {
    keys: ['enable-opentelemetry'],
    when: (settings) => settings['enable-opentelemetry'] === true && settings['otlp-collector-host'] === undefined,
    reason: 'it needs otlp-collector-host beside it',
  },
  {
    keys: [
      ...(['otlp-collector-port', 'otel-service-name', 'otel-sampler', 'otel-sampler-ratio'] as const),
      ...(['otel-sampler-parent-based', 'otel-max-queuesize', 'otel-max-export-batch-size'] as const),
      'otel-schedule-delay-millis',
    ],
    when: (settings) => settings['otlp-collector-host'] === undefined,
    reason: 'it needs otlp-collector-host beside it',
  },
  {
    keys: ['otel-sampler-ratio'],
    when: (settings) =>
      settings['otlp-collector-host'] !== undefined && settings['otel-sampler'] !== 'TraceIdRatioBased',
    reason: 'otel-sampler is not TraceIdRatioBased',
  },
];

function isHonoured(name: string): name is ConfigKeyName {
  return Object.hasOwn(configKeys, name);
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
