import type { Problem, Source } from '#table/problem.ts';
import { problem } from '../translate/problems.ts';
import { cookieAttributes } from './affinity.ts';
import { probeNames } from './health.ts';
import { successRateNames } from './outlier.ts';
import type { AnnotationName, Settings } from './registry.ts';

type Keys = Readonly<Partial<Record<AnnotationName, string>>>;

/** Good values that do nothing for want of another annotation. ingress-nginx skips them in silence, and people wonder why. */
export function withoutEffect(source: Source, settings: Settings, keys: Keys): Problem[] {
  const problems: Problem[] = [];
  const tell = (name: AnnotationName, reason: string): void => {
    const annotation = keys[name];
    if (annotation === undefined) return;
    const at: Source = { ...source, field: `metadata.annotations[${annotation}]` };
    problems.push(problem('AnnotationWithoutEffect', at, { annotation, reason }));
  };

  const hasAffinity = settings.affinity !== undefined;
  const hash = settings['upstream-hash-by'];
  for (const name of needsAffinity) if (!hasAffinity) tell(name, 'it needs affinity beside it');
  for (const name of needsHash) if (hash === undefined) tell(name, 'it needs upstream-hash-by beside it');
  const probe = settings['health-check-type'] ?? (settings['health-check-path'] === undefined ? undefined : 'http');
  for (const [name, types] of Object.entries(probeNames)) {
    if (probe === undefined) tell(name as AnnotationName, 'it needs health-check-type or health-check-path beside it');
    else if (!types.includes(probe)) tell(name as AnnotationName, `it means nothing to probes of type ${probe}`);
  }
  if (settings['outlier-success-rate-deviations'] === undefined) {
    for (const name of successRateNames) tell(name, 'it needs outlier-success-rate-deviations beside it');
  }
  if (settings['auth-tls-secret'] === undefined) {
    for (const name of needsClientSecret) tell(name, 'it needs auth-tls-secret beside it');
  }
  if (hash?.length === 0) tell('upstream-hash-by', 'it uses a variable that is not known');

  if (settings['allowlist-source-range'] !== undefined) {
    tell('whitelist-source-range', 'allowlist-source-range goes before it');
  }

  const word = settings['load-balance'] ?? '';
  if (word.startsWith('chash') && (hash ?? []).length === 0) {
    tell('load-balance', `${word} needs upstream-hash-by beside it, and round robin is used without`);
  }
  if (word.startsWith('sticky') && !hasAffinity) {
    tell('load-balance', `${word} needs affinity beside it, and round robin is used without`);
  }

  if (settings['rewrite-target'] === undefined) tell('x-forwarded-prefix', 'it needs rewrite-target beside it');
  else if (settings['x-forwarded-prefix']?.includes('$')) tell('x-forwarded-prefix', 'groups are not filled in yet');
  return problems;
}

/** The same where spans are sent nowhere. */
export function untraced(source: Source, settings: Settings, keys: Keys): Problem[] {
  const name = 'enable-opentelemetry';
  const annotation = keys[name];
  if (annotation === undefined || settings[name] === false) return [];
  const at: Source = { ...source, field: `metadata.annotations[${annotation}]` };
  const reason = 'the ConfigMap of the gateway names no collector (otlp-collector-host)';
  return [problem('AnnotationWithoutEffect', at, { annotation, reason })];
}

const needsAffinity: readonly AnnotationName[] = ['affinity-mode', ...cookieAttributes];

const needsClientSecret: readonly AnnotationName[] = [
  'auth-tls-verify-depth',
  'auth-tls-error-page',
  'auth-tls-pass-certificate-to-upstream',
];

const needsHash: readonly AnnotationName[] = ['upstream-hash-by-subset', 'upstream-hash-by-subset-size'];
