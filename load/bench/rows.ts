export interface Row {
  name: string;
  kind: 'load' | 'idle';
  isTls: boolean;
  connections: number;
  /** Requests per second; 0: closed loop. */
  rate: number;
  hosts: number;
  path: string;
  isFreshEach: boolean;
  peers: readonly string[];
  /** What has to hold, in words; the table shows it beside the ratios. */
  bar: string;
}

const everyone = ['nginx', 'HAProxy', 'Sluice', 'http-proxy-3'];
const base = {
  kind: 'load',
  isTls: false,
  connections: 64,
  rate: 6000,
  hosts: 1,
  path: '/',
  isFreshEach: false,
  peers: everyone,
} as const;

export const rows: readonly Row[] = [
  { ...base, name: 'small GET, keep-alive', bar: '≤ 1.25 × better of nginx, HAProxy; ≤ 0.4 × http-proxy-3' },
  { ...base, name: 'small GET, keep-alive, closed loop', rate: 0, bar: 'as above' },
  { ...base, name: '64 KB responses', rate: 2000, path: '/big', bar: '≤ 1.25 × HAProxy' },
  { ...base, name: 'connection per request', rate: 1500, isFreshEach: true, bar: 'no bar' },
  { ...base, name: 'TLS keep-alive', isTls: true, rate: 4000, bar: 'no bar' },
  { ...base, name: '1,000 hosts', hosts: 1000, peers: ['nginx', 'HAProxy', 'Sluice', 'Sluice, 1 host'], bar: 'no bar' },
  {
    ...base,
    name: '10,000 hosts',
    hosts: 10_000,
    peers: ['nginx', 'HAProxy', 'Sluice', 'Sluice, 1 host'],
    bar: '≤ 1.10 × Sluice at 1 host',
  },
  { ...base, name: 'idle keep-alive connection', kind: 'idle', connections: 4000, bar: '≤ 10 KB' },
  { ...base, name: 'idle keep-alive connection, TLS', kind: 'idle', isTls: true, connections: 2000, bar: '≤ 50 KB' },
];
