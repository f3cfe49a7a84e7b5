import { readFileSync } from 'node:fs';

/** One case of test/wire/cases.jsonl. */
export interface CorpusCase {
  id: string;
  class: string;
  side: 'client-h1' | 'client-h2' | 'upstream-h1';
  /** Bytes, escaped; see decodeBytes. */
  raw: string;
  /** Allowed first final statuses, or `close` when the connection may end without an answer. */
  expect: (number | string)[];
  /** The strictest of several allowed answers; where given, the only one that passes here. */
  prefer?: number;
  mustNotForward: boolean;
  note: string;
  section: string;
  assert?: CaseAsserts;
  /** The client connection must be closed afterwards. */
  close?: boolean;
  upstreamClose?: boolean;
  /** Half-close after sending. */
  fin?: boolean;
  slow?: boolean;
  maxForwarded?: number;
  responses?: number;
  /** Allowed statuses of the second response. */
  second?: (number | string)[];
  method?: string;
  unsolicited?: boolean;
  /** Settings that the case needs. */
  needs?: string;
  /** A flood: the connection may stay open, or the stream may be answered, as long as work stays bounded. */
  mayStayOpen?: boolean;
  mayAnswer?: boolean;
  /** Frames whose stream ids count up; `raw` holds the first only. */
  gen?: { kind: string; streams?: number; refs?: number };
}

export interface CaseAsserts {
  body?: string;
  host?: string;
  target?: string;
  method?: string;
  version?: string;
  absent?: string[];
  present?: string[];
  header?: Record<string, string>;
  notHeader?: string[];
  headerBytes?: Record<string, string>;
  noToken?: Record<string, string>;
  noBytes?: string;
  incomplete?: boolean;
  crlf?: boolean;
  noFold?: boolean;
  noExt?: boolean;
  singleCL?: boolean;
  singleHost?: boolean;
  noBoth?: boolean;
  noPoison?: boolean;
}

const file = new URL('../wire/cases.jsonl', import.meta.url);

export function corpusCases(side: CorpusCase['side']): CorpusCase[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const cases = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as CorpusCase);
  return cases.filter((each) => each.side === side);
}

/**
 * Decodes `\r \n \t \\ \xNN` and `\*{N:unit}` (the decoded unit N times; a `}` inside it is written `\x7d`).
 * Every other character stands for its own byte.
 */
export function decodeBytes(escaped: string): Buffer {
  const text = escaped.replace(/\\\*\{(\d+):([^}]*)\}|\\x([0-9a-fA-F]{2})|\\(.)/g, (_, count, unit, hex, single) => {
    if (count !== undefined) return decodeBytes(unit).toString('latin1').repeat(Number(count));
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    const control: Record<string, string> = { r: '\r', n: '\n', t: '\t', '\\': '\\' };
    const decoded = control[single];
    if (decoded === undefined) throw new Error(`unknown escape \\${single} in a corpus case`);
    return decoded;
  });
  return Buffer.from(text, 'latin1');
}
