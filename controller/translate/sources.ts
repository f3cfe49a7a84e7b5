import type { SourceRanges } from '#table/sources.ts';
import type { Settings } from '../annotations/registry.ts';
import type { TranslateOptions } from './options.ts';

type SourceSettings = Pick<Settings, 'allowlist-source-range' | 'whitelist-source-range' | 'denylist-source-range'>;

/** Who may come to the paths of an Ingress; null: everybody. Lists of an Ingress take the place of the operator's. */
export function sourcesOf(settings: SourceSettings, { sources }: TranslateOptions): SourceRanges | null {
  const allowed = settings['allowlist-source-range'] ?? settings['whitelist-source-range'] ?? sources.allow;
  const deny = settings['denylist-source-range'] ?? sources.deny;
  // cert-manager's solver writes this, and then a request costs nothing.
  const isForAll = allowed === null || (allowed.includes('0.0.0.0/0') && allowed.includes('::/0'));
  return isForAll && deny.length === 0 ? null : { deny: [...deny], allow: isForAll ? null : [...allowed] };
}
