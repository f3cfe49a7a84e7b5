import type { ConfigKey, KeyFamily } from './key.ts';

type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

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
    parse: (value) => {
      const words = value.split(/\s+/).filter((word) => word !== '');
      const older = words.filter((word) => /^(SSLv[23]|TLSv1|TLSv1\.1)$/.test(word));
      const modern = (['TLSv1.2', 'TLSv1.3'] as const).filter((version) => words.includes(version));
      const [min] = modern;
      const max = modern.at(-1);
      if (min === undefined || max === undefined || older.length + modern.length < new Set(words).size)
        return undefined;
      return { min, max, hasOlder: older.length > 0 };
    },
  } satisfies ConfigKey<Protocols>,
} as const satisfies KeyFamily;
