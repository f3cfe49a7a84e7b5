import type { TlsVersion } from '#table/servertls.ts';
import { booleanSyntax, parseBoolean, parseCiphers, parseNginxTimeMs } from '../annotations/values.ts';
import { groupFault } from '../translate/ciphers.ts';
import type { ConfigKey, KeyFamily } from './key.ts';

interface Protocols {
  min: TlsVersion;
  max: TlsVersion;
  /** Versions before 1.2 are asked for, too. */
  hasOlder: boolean;
}

/** TLS with clients. */
export const tlsKeys = {
  'ssl-protocols': {
    syntax: 'a list of TLSv1.2 and TLSv1.3, with spaces between them',
    default: 'TLSv1.2 TLSv1.3',
    flag: null,
    help: 'Versions of TLS that clients may speak. Older ones are never spoken (RFC 8996).',
    parse: parseProtocols,
  } satisfies ConfigKey<Protocols>,
  'ssl-ciphers': {
    syntax: "a list of suites in OpenSSL's form",
    default: 'that of Node',
    flag: null,
    help: 'Suites that TLS 1.2 may use; those of TLS 1.3 are always all.',
    parse: parseCiphers,
  } satisfies ConfigKey<string>,
  'ssl-ecdh-curve': {
    syntax: 'auto, or a list of groups like X25519:prime256v1, with colons between them',
    default: 'auto',
    flag: null,
    help: "Groups for the exchange of keys. auto: OpenSSL's choice, X25519MLKEM768 first.",
    parse: (value) => {
      const list = value.trim();
      return /^[A-Za-z0-9\-_:]{1,500}$/.test(list) && groupFault(list) === undefined ? list : undefined;
    },
  } satisfies ConfigKey<string>,
  'ssl-session-tickets': {
    syntax: booleanSyntax,
    default: 'true',
    flag: null,
    help: 'Whether sessions are resumed, by tickets that every worker and replica reads; never where clients show certificates.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'ssl-session-timeout': {
    syntax: 'a time like 10m, 1h30m or 300 (seconds), at most a day',
    default: '10m',
    flag: null,
    help: 'How long a session may be resumed.',
    parse: parseTimeSeconds,
  } satisfies ConfigKey<number>,
} as const satisfies KeyFamily;

function parseProtocols(value: string): Protocols | undefined {
  const words = value.split(/\s+/).filter((word) => word !== '');
  const older = words.filter((word) => /^(SSLv[23]|TLSv1|TLSv1\.1)$/.test(word));
  const modern = (['TLSv1.2', 'TLSv1.3'] as const).filter((version) => words.includes(version));
  const [min] = modern;
  const max = modern.at(-1);
  if (min === undefined || max === undefined || older.length + modern.length < new Set(words).size) return undefined;
  return { min, max, hasOlder: older.length > 0 };
}

/** nginx's times, as far as sessions need them. */
function parseTimeSeconds(value: string): number | undefined {
  const seconds = Math.floor((parseNginxTimeMs(value) ?? 0) / 1000);
  return seconds >= 1 && seconds <= 86_400 ? seconds : undefined;
}
