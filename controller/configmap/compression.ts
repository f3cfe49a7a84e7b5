import type { Compression } from '#table/compression.ts';
import { usualMinBytes, usualTypes } from '../annotations/compression.ts';
import { booleanSyntax, parseBoolean, wholeNumber } from '../annotations/values.ts';
import type { ConfigKey, KeyFamily } from './key.ts';
import type { ConfigSettings } from './registry.ts';

const typesSyntax = 'a list of media types with spaces between them, or *';
const bytesSyntax = 'a whole number of bytes';
const usual = 'the usual text-like types';

/** Compression of responses. */
export const compressionKeys = {
  'use-gzip': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Compresses responses with gzip for clients that accept it.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'gzip-level': levelKey(1, 9, '1', 'Effort of gzip.'),
  'gzip-min-length': {
    syntax: bytesSyntax,
    default: String(usualMinBytes),
    flag: null,
    help: 'Shorter bodies are not compressed with gzip.',
    parse: wholeNumber(0, 1_073_741_824),
  } satisfies ConfigKey<number>,
  'gzip-types': typesKey('gzip'),
  'enable-brotli': {
    syntax: booleanSyntax,
    default: 'false',
    flag: null,
    help: 'Compresses responses with brotli for clients that accept it; it goes before gzip.',
    parse: parseBoolean,
  } satisfies ConfigKey<boolean>,
  'brotli-level': levelKey(0, 11, '4', 'Effort of brotli.'),
  'brotli-min-length': {
    syntax: bytesSyntax,
    default: '20',
    flag: null,
    help: 'Shorter bodies are not compressed with brotli.',
    parse: wholeNumber(0, 1_073_741_824),
  } satisfies ConfigKey<number>,
  'brotli-types': typesKey('brotli'),
} as const satisfies KeyFamily;

/** What the keys say of all responses; null: none is compressed. */
export function compressionOf(settings: ConfigSettings): Compression | null {
  const compression: Compression = [];
  if (settings['enable-brotli']) {
    compression.push({
      name: 'br',
      level: settings['brotli-level'] ?? 4,
      types: settings['brotli-types'] ?? [...usualTypes],
      minBytes: settings['brotli-min-length'] ?? 20,
    });
  }
  if (settings['use-gzip']) {
    compression.push({
      name: 'gzip',
      level: settings['gzip-level'] ?? 1,
      types: settings['gzip-types'] ?? [...usualTypes],
      minBytes: settings['gzip-min-length'] ?? usualMinBytes,
    });
  }
  return compression.length === 0 ? null : compression;
}

function levelKey(min: number, max: number, standard: string, help: string): ConfigKey<number> {
  return {
    syntax: `a whole number, ${min} to ${max}`,
    default: standard,
    flag: null,
    help,
    parse: wholeNumber(min, max),
  };
}

function typesKey(name: string): ConfigKey<string[]> {
  return {
    syntax: typesSyntax,
    default: usual,
    flag: null,
    help: `Media types that ${name} is for; text/html always is.`,
    parse: (value) => {
      const types = value.toLowerCase().split(/\s+/).filter(Boolean);
      const isGood =
        types.length > 0 &&
        types.every((type) => type === '*' || /^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/.test(type));
      return isGood ? [...new Set(['text/html', ...types])] : undefined;
    },
  };
}
