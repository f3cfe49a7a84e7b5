import type { Compression } from '#table/compression.ts';
import type { Annotation, Family } from './annotation.ts';

/** What is text and not compressed by itself: nginx's usual list, with text/html, which it always has. */
export const usualTypes: readonly string[] =
  `application/atom+xml application/javascript application/json application/ld+json
  application/manifest+json application/rss+xml application/vnd.ms-fontobject application/wasm application/x-font-ttf
  application/x-javascript application/xhtml+xml application/xml font/opentype image/svg+xml image/x-icon text/css
  text/html text/javascript text/plain text/x-component text/xml`.split(/\s+/);

export const usualMinBytes = 256;

/** Levels that serve a page in about the time that sending it takes. */
const encodings = {
  zstd: { name: 'zstd', level: 3 },
  br: { name: 'br', level: 4 },
  gzip: { name: 'gzip', level: 4 },
} as const;

/** Compression of responses. ingress-nginx has it in its ConfigMap only. */
export const compressionFamily = {
  compression: {
    scope: 'path',
    badValue: 'ignored',
    syntax: 'off or a list of zstd, br and gzip',
    default: 'as the ConfigMap says, else off',
    help: 'Compresses text-like responses of at least 256 bytes for clients that accept it, best encoding first. Answers that mix secrets with what a client sent should stay uncompressed (BREACH).',
    parse: parseCompression,
  } satisfies Annotation<Compression>,
} as const satisfies Family;

function parseCompression(value: string): Compression | undefined {
  const names = value
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  if (names.length === 1 && names[0] === 'off') return [];
  if (!names.every(isEncoding) || new Set(names).size !== names.length) return undefined;
  return names.map((name) => ({ ...encodings[name], types: [...usualTypes], minBytes: usualMinBytes }));
}

function isEncoding(name: string): name is keyof typeof encodings {
  return Object.hasOwn(encodings, name);
}
