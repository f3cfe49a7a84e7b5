import { mostFiles } from './files.ts';
import type { LoadPlan } from './generator.ts';

/** What has to hold of Sluice's figure in a row. */
export type Bar =
  /** At most `most` times the least figure of these peers; `aim` is where we want to be. */
  | { readonly to: readonly string[]; readonly most: number; readonly aim?: number }
  /** At most `more` above the figure of this peer. */
  | { readonly to: readonly string[]; readonly more: number }
  | { readonly most: number }
  | { readonly least: number };

export interface Row {
  readonly name: string;
  /**
   * `cpu`: CPU-µs per request, whatever the generator's speed. `h2`, `grpc`: the same, with h2load for a generator. `latency`:
   * from the scheduled moment of a request to its answer. `memory`: of an idle connection. `fleet`: what two workers do.
   */
  readonly kind: 'cpu' | 'h2' | 'grpc' | 'latency' | 'memory' | 'fleet';
  readonly load: Omit<LoadPlan, 'port'>;
  /** Requests per second; 0: closed loop, as fast as it goes. */
  readonly rate: number;
  /** Paths that have a route of their own, on each host. */
  readonly pathsPerHost: number;
  /** The first Sluice among them is the one that the bars are for. */
  readonly peers: readonly string[];
  /** By unit, in the order of the figures; a row without has one figure. */
  readonly bars: Readonly<Record<string, readonly Bar[]>>;
}

/** As many as the bar names, where there may be two descriptors for each in a proxy. */
const idleConnections = mostFiles < 24_000 ? 6_000 : 10_000;

const cpuUnit = 'CPU-µs per request';
const memoryUnit = 'bytes per connection';
const natives = ['nginx', 'HAProxy'];
const everyone = [...natives, 'Sluice', 'http-proxy-3'];
const nativesAndOurs = [...natives, 'Sluice'];

const get: Row['load'] = {
  isTls: false,
  connections: 64,
  hosts: 1,
  paths: 1,
  path: '/',
  bodyBytes: 0,
  isFreshEach: false,
  isResumed: false,
  isUpgraded: false,
};

const base: Row = {
  name: '',
  kind: 'cpu',
  load: get,
  rate: 0,
  pathsPerHost: 1,
  peers: nativesAndOurs,
  bars: {},
};

/** A handshake for each request. */
const fresh: Row['load'] = { ...get, isTls: true, isFreshEach: true };
const handshakeBars: Row['bars'] = { [cpuUnit]: [{ to: ['nginx'], most: 1.25 }] };

const toBetter = (most: number, aim: number): Bar => ({ to: natives, most, aim });
const toHaproxy: Bar = { to: ['HAProxy'], most: 1.15, aim: 1 };
/** The natives show what many routes cost them: where theirs lie, no cache holds them either. */
const oneRoute = [...nativesAndOurs, ...nativesAndOurs.map((name) => `${name}, one route`)];

const fleet = (workers: string): Row => ({
  ...base,
  name: `${workers}, 256 connections`,
  kind: 'fleet',
  load: { ...get, connections: 256 },
  peers: [`Sluice, ${workers}`],
  bars: {
    'requests per backend connection made': [{ least: 1000 }],
    'busiest worker ÷ mean': [{ most: 1.2 }],
  },
});

export const rows: readonly Row[] = [
  {
    ...base,
    name: 'small GET, keep-alive',
    peers: everyone,
    bars: { [cpuUnit]: [toBetter(1.1, 1), { to: ['http-proxy-3'], most: 0.4 }] },
  },
  { ...base, name: 'small GET, keep-alive, 6,000/s', rate: 6000, bars: { [cpuUnit]: [toBetter(1.1, 1)] } },
  { ...base, name: '64 KB response', load: { ...get, path: '/64k' }, bars: { [cpuUnit]: [toHaproxy] } },
  { ...base, name: '1 MB response', load: { ...get, path: '/1m' }, bars: { [cpuUnit]: [toHaproxy] } },
  { ...base, name: '16 KB POST', load: { ...get, bodyBytes: 16_384 }, bars: { [cpuUnit]: [toHaproxy] } },
  {
    ...base,
    name: 'connection per request',
    load: { ...get, isFreshEach: true },
    rate: 1500,
    bars: { [cpuUnit]: [toBetter(1.5, 1.2)] },
  },
  { ...base, name: 'TLS 1.3 keep-alive', load: { ...get, isTls: true }, bars: { [cpuUnit]: [toBetter(1.25, 1.1)] } },
  { ...base, name: 'TLS 1.3 full handshakes', load: fresh, bars: handshakeBars },
  { ...base, name: 'TLS 1.3 full handshakes, 300/s', load: fresh, rate: 300, bars: handshakeBars },
  { ...base, name: 'TLS 1.3 resumed', load: { ...fresh, isResumed: true }, bars: handshakeBars },
  { ...base, name: 'TLS 1.3 resumed, 300/s', load: { ...fresh, isResumed: true }, rate: 300, bars: handshakeBars },
  {
    ...base,
    name: 'HTTP/2 over TLS, 8 × 16',
    kind: 'h2',
    load: { ...get, isTls: true, connections: 8 },
    bars: {
      [cpuUnit]: [
        { to: ['nginx'], most: 1.25 },
        { to: ['HAProxy'], most: Number.POSITIVE_INFINITY, aim: 1 },
      ],
    },
  },
  {
    ...base,
    name: 'gRPC unary, 8 × 16',
    kind: 'grpc',
    load: { ...get, isTls: true, connections: 8, path: '/bench.Echo/Say' },
    bars: { [cpuUnit]: [{ to: ['nginx'], most: 1.25 }] },
  },
  {
    ...base,
    name: 'access log',
    peers: ['Sluice, access log', 'Sluice'],
    bars: { [cpuUnit]: [{ to: ['Sluice'], most: 1.1 }] },
  },
  {
    ...base,
    name: 'access log, 20,000/s',
    rate: 20_000,
    peers: ['Sluice, access log', 'Sluice'],
    bars: { [cpuUnit]: [{ to: ['Sluice'], most: 1.1 }] },
  },
  {
    ...base,
    name: 'latency at about 30 %',
    kind: 'latency',
    rate: 12_000,
    bars: {
      'ms, p50': [{ to: ['nginx'], more: 0.05 }],
      'ms, p99': [{ to: ['nginx'], more: 0.3 }],
      'ms, p99.9': [{ to: ['nginx'], more: 2 }],
    },
  },
  {
    ...base,
    name: '1,000 hosts',
    load: { ...get, hosts: 1000 },
    peers: [...nativesAndOurs, 'Sluice, one route'],
    bars: { [cpuUnit]: [{ to: ['Sluice, one route'], most: 1.1 }] },
  },
  {
    ...base,
    name: '100,000 routes',
    load: { ...get, hosts: 1000, paths: 100 },
    pathsPerHost: 100,
    peers: oneRoute,
    bars: { [cpuUnit]: [{ to: ['Sluice, one route'], most: 1.1 }] },
  },
  {
    ...base,
    name: '100,000 routes, 20,000/s',
    rate: 20_000,
    load: { ...get, hosts: 1000, paths: 100 },
    pathsPerHost: 100,
    peers: oneRoute,
    bars: { [cpuUnit]: [{ to: ['Sluice, one route'], most: 1.1 }] },
  },
  {
    ...base,
    name: 'idle connection',
    kind: 'memory',
    load: { ...get, connections: idleConnections },
    bars: { [memoryUnit]: [{ most: 8192 }] },
  },
  {
    ...base,
    name: 'idle connection, TLS',
    kind: 'memory',
    load: { ...get, connections: idleConnections, isTls: true },
    bars: { [memoryUnit]: [{ most: 46_080 }] },
  },
  {
    ...base,
    name: 'idle WebSocket',
    kind: 'memory',
    load: { ...get, connections: idleConnections, isUpgraded: true },
    bars: { [memoryUnit]: [{ most: 10_240 }] },
  },
  fleet('two workers'),
  fleet('four workers'),
  fleet('eight workers'),
];
