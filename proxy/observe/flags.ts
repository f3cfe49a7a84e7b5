import type { ResponseFlag } from './record.ts';

/** Every flag, in the order in which they are counted. */
export const responseFlags = [
  '-',
  'NR',
  'NE',
  'UO',
  'BR',
  'UF',
  'UV',
  'UC',
  'UPE',
  'UCT',
  'UST',
  'UT',
  'UTT',
  'DT',
  'SI',
  'DPE',
  'CC',
  'DC',
  'DHT',
  'DBT',
  'DWT',
  'LR',
  'RL',
  'OM',
] as const satisfies readonly ResponseFlag[];
