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
  const tell = (key: ConfigKeyName, reason: string): Problem =>
    problem('ConfigKeyWithoutEffect', { ...source, field: `data[${key}]` }, { key, reason });
  const problems: Problem[] = [];
  const asks = settings['use-forwarded-headers'] === true || settings['use-proxy-protocol'] === true;
  if (settings['proxy-real-ip-cidr'] !== undefined && !asks && given.tcpServices === null) {
    problems.push(tell('proxy-real-ip-cidr', 'it needs use-forwarded-headers or use-proxy-protocol beside it'));
  }
  if (settings.hsts === false) {
    for (const key of ['hsts-max-age', 'hsts-include-subdomains', 'hsts-preload'] as const) {
      if (settings[key] !== undefined) problems.push(tell(key, 'hsts is false'));
    }
  }
  const protocols = settings['ssl-protocols'];
  if (protocols?.hasOlder === true)
    problems.push(tell('ssl-protocols', 'for versions before 1.2, which are never spoken'));
  if (settings['ssl-session-tickets'] === false && settings['ssl-session-timeout'] !== undefined) {
    problems.push(
      tell('ssl-session-timeout', 'ssl-session-tickets is false, and sessions are resumed by tickets alone'),
    );
  }
  return problems;
}

function isHonoured(name: string): name is ConfigKeyName {
  return Object.hasOwn(configKeys, name);
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
