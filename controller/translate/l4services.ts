import type { L4Route } from '#table/l4route.ts';
import type { Listener } from '#table/listener.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Row } from '#table/rows.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { type ObjectKey, splitKey } from '../watch/view.ts';
import { tcpFace } from './face.ts';
import { everyClient, type TranslateOptions } from './options.ts';
import { problem } from './problems.ts';

/** A Service port as an entry names it. */
export interface L4Ref {
  /** As of PortRef; ports of both transports are told apart. */
  portKey: string;
  serviceKey: ObjectKey;
  /** Name or decimal number. */
  port: string;
  transport: 'tcp' | 'udp';
  source: Source;
}

type Transport = L4Ref['transport'];
type ConfigMap = ObjectOf<'ConfigMap'>;

/**
 * A ConfigMap of ports that go to Services unread, in the format of ingress-nginx: port → `namespace/service:port`, for TCP with
 * `:PROXY` behind it where a PROXY header is taken off, and another one where it is sent. `:PROXY-V2` in the second place, which
 * ingress-nginx does not know, sends version 2.
 *
 * @param key its `namespace/name`
 */
export function compileL4Services(
  transport: Transport,
  configMap: ConfigMap | undefined,
  key: ObjectKey,
  options: TranslateOptions,
): { rows: Row[]; refs: L4Ref[]; problems: Problem[] } {
  const [namespace, name] = splitKey(key);
  const source: Source = { kind: 'ConfigMap', namespace, name };
  if (configMap === undefined) {
    const values = { configMap: key, flag: `--${transport}-services-configmap` };
    return { rows: [], refs: [], problems: [problem('PortsConfigMapNotFound', source, values)] };
  }
  const rows: Row[] = [];
  const refs: L4Ref[] = [];
  const problems: Problem[] = [];
  for (const [text, value] of Object.entries(configMap.data).sort(byPort)) {
    const at: Source = { ...source, field: `data[${text}]` };
    const entry = readEntry(transport, text, value);
    if (entry === undefined) {
      problems.push(problem('PortEntryInvalid', at, { port: text, value, syntax: syntaxes[transport] }));
    } else if (transport === 'tcp' && reservedPorts(options).has(entry.listenPort)) {
      problems.push(problem('PortReserved', at, { port: text }));
    } else {
      const ref = refOf(transport, entry, at);
      refs.push(ref);
      rows.push(
        { kind: 'listener', row: listenerRow(transport, entry, at, options) },
        { kind: 'l4route', row: routeRow(transport, entry, ref, options) },
      );
    }
  }
  return { rows, refs, problems };
}

interface Entry {
  listenPort: number;
  namespace: string;
  service: string;
  port: string;
  takesProxy: boolean;
  sendsProxy: L4Route['sendProxyProtocol'];
}

const syntaxes: Readonly<Record<Transport, string>> = {
  tcp: 'a port and <namespace>/<service>:<port>, perhaps with :PROXY and :PROXY or :PROXY-V2 behind it',
  udp: 'a port and <namespace>/<service>:<port>',
};

const pattern = /^([a-z0-9][a-z0-9.-]*)\/([a-z0-9][a-z0-9.-]*):([a-z0-9-]+)(?::([^:]*))?(?::([^:]*))?$/i;

function readEntry(transport: Transport, text: string, value: string): Entry | undefined {
  const parts = pattern.exec(value.trim());
  // One spelling only, or two keys could mean one port.
  const listenPort = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (parts === null || listenPort < 1 || listenPort > 65_535) return undefined;
  const [, namespace = '', service = '', port = '', takes = '', sends = ''] = parts;
  const hasProxy = parts[4] !== undefined;
  const sendsProxy = sentBy[sends.toUpperCase()];
  if (sendsProxy === undefined || (takes !== '' && takes.toUpperCase() !== 'PROXY')) return undefined;
  if (transport === 'udp' && hasProxy) return undefined;
  return { listenPort, namespace, service, port, takesProxy: takes !== '', sendsProxy };
}

/** nginx sends version 1. */
const sentBy: Readonly<Record<string, L4Route['sendProxyProtocol']>> = { '': null, PROXY: 'v1', 'PROXY-V2': 'v2' };

/** Ports of http and https, and those under which clients know them. */
function reservedPorts({ listeners: { http, https } }: TranslateOptions): ReadonlySet<number | null> {
  return new Set([http.port, https.port, http.publicPort ?? 80, https.publicPort ?? 443]);
}

function refOf(transport: Transport, { namespace, service, port }: Entry, source: Source): L4Ref {
  const portKey = `${namespace}/${service}/${port}${transport === 'udp' ? '/udp' : ''}`;
  return { portKey, serviceKey: `${namespace}/${service}`, port, transport, source };
}

function listenerRow(
  transport: Transport,
  { listenPort, takesProxy }: Entry,
  source: Source,
  { proxyProtocol }: TranslateOptions,
): Listener {
  return {
    id: `${transport}/${listenPort}`,
    source,
    protocol: transport,
    port: listenPort,
    addresses: [],
    publicPort: null,
    tls: null,
    proxyProtocol: takesProxy ? proxyProtocol : null,
    http2: false,
    trustedProxies: [],
    hsts: null,
    clients: { idleMs: null, headMs: null, bodyIdleMs: null, requests: null, streams: null },
    compression: null,
    tracing: null,
  };
}

function routeRow(
  transport: Transport,
  { listenPort, sendsProxy }: Entry,
  { portKey, source }: L4Ref,
  options: TranslateOptions,
): L4Route {
  const { flows, timeouts } = options;
  const isTcp = transport === 'tcp';
  return {
    id: `${transport}/${listenPort}`,
    source,
    listenerIds: [`${transport}/${listenPort}`],
    hostnames: [],
    sources: null,
    wildcard: 'one',
    order: '',
    backends: [{ backendId: isTcp ? portKey + tcpFace.suffix : portKey, weight: 1 }],
    timeouts: { connectMs: timeouts.connectMs, idleMs: isTcp ? flows.tcpIdleMs : flows.udpIdleMs },
    retry: flows.retry,
    sendProxyProtocol: sendsProxy,
    responses: isTcp ? null : flows.responses,
    clients: isTcp ? everyClient : flows.clients,
  };
}

function byPort([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return Number(a) - Number(b) || (a < b ? -1 : 1);
}
