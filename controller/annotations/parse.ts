import type { Problem, Source } from '#table/problem.ts';
import { problem } from '../translate/problems.ts';
import type { Annotation } from './annotation.ts';
import { withoutEffect } from './effect.ts';
import { foreignAdvice, obsoleteAdvice } from './obsolete.ts';
import { type AnnotationName, prefixes, registry, type Settings } from './registry.ts';
import { sourceNames } from './sources.ts';
import { isHarmless, unhonoured } from './unhonoured.ts';
import { booleanSyntax, parseBoolean } from './values.ts';

/** What the annotations of one Ingress say. */
export interface ReadAnnotations {
  settings: Settings;
  /** Full keys of the settings, for problems that are found later. */
  keys: Readonly<Partial<Record<AnnotationName, string>>>;
  /** Key of an annotation that protects and cannot be honoured: the paths answer 503. null: none. */
  deniedBy: string | null;
  /** The same for paths that the operator exempts from authentication. */
  exemptDeniedBy: string | null;
  /** The same for the whole host, with the paths of others on it, where the host belongs to its namespace. */
  hostDeniedBy: string | null;
  /** A value that ingress-nginx refuses together with the whole Ingress. */
  isDropped: boolean;
  /** `canary: "true"`: not a main Ingress, whatever its paths say. */
  isCanary: boolean;
  problems: Problem[];
}

/**
 * Reads the annotations of an Ingress under both prefixes; `sluice.dev/` wins where both are there. Never throws.
 * Keys of other owners are not looked at.
 */
export function readAnnotations(source: Source, annotations: Readonly<Record<string, string>>): ReadAnnotations {
  const settings: Record<string, unknown> = {};
  const keys: Partial<Record<AnnotationName, string>> = {};
  const problems: Problem[] = [];
  let deniedBy: string | null = null;
  let exemptDeniedBy: string | null = null;
  let hostDeniedBy: string | null = null;
  const deny = (key: string): void => {
    deniedBy ??= key;
    exemptDeniedBy ??= key;
  };
  const dropping: { at: Source; values: { annotation: string; value: string; syntax: string } }[] = [];
  let isCanary = false;
  for (const { key, name } of ours(annotations)) {
    const value = annotations[key] ?? '';
    const at: Source = { ...source, field: `metadata.annotations[${key}]` };
    if (isHonoured(name)) {
      const annotation: Annotation<unknown> = registry[name];
      const parsed = annotation.parse(value);
      if (parsed !== undefined) {
        settings[name] = parsed;
        keys[name] = key;
        continue;
      }
      const values = { annotation: key, value, syntax: annotation.syntax };
      // Of most, an empty value is ignored even where a bad one drops the Ingress.
      const cost = value === '' && annotation.isEmptyBad !== true ? 'ignored' : annotation.badValue;
      if (cost === 'drops-ingress') {
        dropping.push({ at, values });
      } else if (cost === 'closes-paths') {
        deny(key);
        problems.push(problem('AnnotationClosesPaths', at, values));
      } else if (cost === 'closes-host') {
        deny(key);
        hostDeniedBy ??= key;
        const fault = `"${value}" is not ${annotation.syntax}`;
        problems.push(problem('AnnotationClosesHost', at, { annotation: key, fault }));
      } else {
        problems.push(
          problem('AnnotationInvalid', at, {
            ...values,
            effect: `it is as if it were not there (default: ${annotation.default})`,
          }),
        );
      }
      continue;
    }
    const missing = unhonoured.get(name);
    if (missing === undefined) {
      const advice = obsoleteAdvice(name);
      problems.push(
        advice === undefined
          ? problem('AnnotationUnknown', at, { annotation: key })
          : problem('AnnotationObsolete', at, { annotation: key, advice }),
      );
    } else if (missing.denies(value)) {
      if (missing.isAuthentication) deniedBy ??= key;
      else deny(key);
      if (missing.isHostWide) hostDeniedBy ??= key;
      const what = missing.isHostWide
        ? 'these paths, and every path of hosts that belong to its namespace,'
        : 'these paths';
      problems.push(problem('AnnotationDenies', at, { annotation: key, what, advice: missing.advice }));
    } else if (name === 'canary' && value !== '' && parseBoolean(value) === undefined) {
      // As in ingress-nginx, where only the boolean makes a canary of it.
      const effect = 'it is served as an Ingress of its own';
      problems.push(problem('AnnotationInvalid', at, { annotation: key, value, syntax: booleanSyntax, effect }));
    } else if (!isHarmless(name, value)) {
      isCanary ||= name === 'canary' && parseBoolean(value) === true;
      problems.push(problem('AnnotationNotHonoured', at, { annotation: key, advice: missing.advice }));
    }
  }
  for (const key of Object.keys(annotations)) {
    const advice = foreignAdvice(key);
    if (advice === undefined) continue;
    problems.push(
      problem('AnnotationObsolete', { ...source, field: `metadata.annotations[${key}]` }, { annotation: key, advice }),
    );
  }
  problems.push(...withoutEffect(source, settings as Settings, keys));
  // Who asks for proof without saying by whom it is given wants the host closed to everybody else.
  for (const name of provingNames) {
    const key = keys[name];
    if (key === undefined || settings['auth-tls-secret'] !== undefined || settings[name] === 'off') continue;
    deny(key);
    hostDeniedBy ??= key;
    const at: Source = { ...source, field: `metadata.annotations[${key}]` };
    problems.push(
      problem('AnnotationClosesHost', at, { annotation: key, fault: 'it needs auth-tls-secret beside it' }),
    );
  }
  // Without the Ingress, another one's rule for a shorter path would open what this one protects.
  const protects = deniedBy !== null || protectingNames.some((name) => settings[name] !== undefined);
  for (const { at, values } of dropping) {
    problems.push(problem(protects ? 'AnnotationClosesPaths' : 'AnnotationDropsIngress', at, values));
    if (!protects) continue;
    deny(values.annotation);
    if (settings['auth-tls-secret'] !== undefined) hostDeniedBy ??= values.annotation;
  }
  return {
    settings: settings as Settings,
    keys,
    deniedBy,
    exemptDeniedBy,
    hostDeniedBy,
    isDropped: dropping.length > 0 && !protects,
    isCanary,
    problems,
  };
}

/** What keeps somebody out. */
const protectingNames = [...sourceNames, 'auth-tls-secret'] as const;

const provingNames = ['auth-tls-verify-client', 'auth-tls-match-cn'] as const;

/** Our keys in a stable order, each name once. */
function ours(annotations: Readonly<Record<string, string>>): { key: string; name: string }[] {
  const keysByName = new Map<string, string>();
  const sorted = Object.keys(annotations).sort();
  for (const prefix of prefixes) {
    for (const key of sorted) {
      const name = key.slice(prefix.length);
      if (key.startsWith(prefix) && !keysByName.has(name)) keysByName.set(name, key);
    }
  }
  return [...keysByName].map(([name, key]) => ({ key, name }));
}

function isHonoured(name: string): name is AnnotationName {
  return Object.hasOwn(registry, name);
}
