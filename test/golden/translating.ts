import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { defaultTranslateOptions, type TranslateOptions } from '../../controller/translate/options.ts';
import { type AnyObject, type ObjectKind, objectSchemas } from '../../controller/watch/objects.ts';
import { type ClusterView, keyOf, type ReadProblem } from '../../controller/watch/view.ts';
import type { Problem, Source } from '../../proxy/table/problem.ts';
import type { Row, RowKind } from '../../proxy/table/rows.ts';

/** A view of plain objects; the last of two with one key counts. */
export function viewOf(objects: readonly AnyObject[]): ClusterView {
  const byKey = new Map(objects.map((object) => [`${object.kind} ${keyOf(object)}`, object]));
  const get = (kind: ObjectKind, key: string) => byKey.get(`${kind} ${key}`);
  const all = (kind: ObjectKind) => [...byKey.values()].filter((object) => object.kind === kind);
  return { get, all } as ClusterView;
}

/** Reads manifests as the watch does it: what has a wrong type is left out and told. */
export function readObjects(manifests: readonly unknown[]): { objects: AnyObject[]; unreadable: ReadProblem[] } {
  const objects: AnyObject[] = [];
  const unreadable: ReadProblem[] = [];
  for (const manifest of manifests) {
    const { kind, metadata } = manifest as { kind: ObjectKind; metadata?: { name?: unknown; namespace?: unknown } };
    const schema: z.ZodType<AnyObject> = objectSchemas[kind];
    const result = schema.safeParse(manifest);
    if (result.success) objects.push(result.data);
    else {
      const issue = result.error.issues[0];
      const field = (issue?.path ?? []).join('.');
      const name = String(metadata?.name);
      const namespace = String(metadata?.namespace);
      unreadable.push({ code: 'ObjectMalformed', kind, namespace, name, field, message: issue?.message ?? '' });
    }
  }
  return { objects, unreadable };
}

/** Options of a case: the defaults, with what the case sets put over them at any depth. */
export function optionsOf(changes: Readonly<Record<string, unknown>>): TranslateOptions {
  return merge(defaultTranslateOptions, changes) as TranslateOptions;
}

/** A row as a golden file shows it: fields with their usual values are left out, sources and endpoints are one line each. */
export function brief({ kind, row }: Row, options: TranslateOptions): Record<string, unknown> {
  const usual = usualRows(options)[kind];
  const shown: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(row)) {
    if (['id', 'keyPem', 'chainPem', 'value'].includes(field)) continue;
    if (field in usual && isDeepStrictEqual(value, usual[field])) continue;
    shown[field] = short(field, value);
  }
  return shown;
}

/** A problem in three lines: what, where, why. */
export function briefProblem({ code, severity, source, message }: Problem): Record<string, string> {
  return { code: `${severity} ${code}`, at: sourceText(source), message };
}

function usualRows(options: TranslateOptions): Record<RowKind, Record<string, unknown>> {
  return {
    listener: {
      source: null,
      addresses: [],
      publicPort: null,
      proxyProtocol: null,
      trustedProxies: [],
      clients: { idleMs: null, headMs: null, bodyIdleMs: null, requests: null, streams: null },
      hsts: null,
      http2: true,
      tls: null,
      compression: null,
      tracing: null,
    },
    host: {
      listenerIds: ['http', 'https'],
      wildcard: 'one',
      ciphers: null,
      clientAuth: null,
      canFallThrough: false,
      certificateIds: [],
    },
    route: {
      filters: [],
      timeouts: { ...options.timeouts, tunnelMs: options.timeouts.tunnelMs ?? options.timeouts.readMs },
      retry: options.retry,
      bodyLimit: options.bodyLimit,
    },
    l4route: {
      hostnames: [],
      wildcard: 'one',
      sources: null,
      sendProxyProtocol: null,
      responses: null,
      clients: options.flows.clients,
    },
    backend: {
      broken: null,
      protocol: 'http',
      tls: null,
      balance: options.balance,
      affinity: null,
      slowStartMs: 0,
      outlier: options.outlier,
      healthCheck: null,
      panicPercent: options.panicPercent,
      circuit: options.circuit,
      keepAlive: options.keepAlive,
      prefer: 'any',
    },
    endpoints: { dns: null },
    certificate: {},
    secret: {},
  };
}

function short(field: string, value: unknown): unknown {
  if (field === 'source') return sourceText(value as Source | null);
  if (field === 'endpoints') return (value as Endpoint[]).map(endpointText);
  if (field === 'match') {
    const { path, methods, headers, query } = value as RowMatch;
    const isPlain = methods === null && headers.length === 0 && query.length === 0;
    return isPlain
      ? `${path.type} ${path.value}${path.ignoreCase === true ? ' (ignore case)' : ''}${placeText(path)}`
      : value;
  }
  if (field === 'precedence') {
    const { priority, order } = value as { priority: number; order: string };
    return priority === 0 ? order : `${priority} ${order}`;
  }
  return value;
}

interface RowMatch {
  path: { type: string; value: string; ignoreCase?: boolean; place?: number | null };
  methods: unknown;
  headers: unknown[];
  query: unknown[];
}

function placeText({ place = null }: RowMatch['path']): string {
  return place === null ? '' : ` at ${place}`;
}

type Endpoint = Extract<Row, { kind: 'endpoints' }>['row']['endpoints'][number];

function endpointText(endpoint: Endpoint): string {
  const { address, port, uid, zone, node, forZones, ready, serving, terminating } = endpoint;
  const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return [
    where,
    uid === `${address}:${port}` ? '' : `uid=${uid}`,
    zone === null ? '' : `zone=${zone}`,
    node === null ? '' : `node=${node}`,
    forZones.length === 0 ? '' : `for=${forZones.join(',')}`,
    ready ? '' : 'not-ready',
    ready === serving ? '' : serving ? 'serving' : 'not-serving',
    terminating ? 'terminating' : '',
  ]
    .filter((part) => part !== '')
    .join(' ');
}

function sourceText(source: Source | null): string {
  if (source === null) return 'none';
  const { kind, namespace, name, field } = source;
  return `${kind} ${namespace}/${name}${field === undefined ? '' : ` ${field}`}`;
}

function merge(base: unknown, change: unknown): unknown {
  const isPlain = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isPlain(base) || !isPlain(change)) return change;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    if (!(key in base)) throw new Error(`unknown option ${key}`);
    merged[key] = merge(base[key], value);
  }
  return merged;
}
