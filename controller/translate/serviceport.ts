import type { Affinity, Backend, Endpoints } from '#table/backend.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Row } from '#table/rows.ts';
import type { AnnotationName } from '../annotations/registry.ts';
import { upstreamTlsFamily } from '../annotations/upstreamtls.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ObjectKey } from '../watch/view.ts';
import { brokenBackend } from './backendrow.ts';
import type { Draft, PortRef } from './draft.ts';
import { mergeSlices } from './endpoints.ts';
import { type Face, plainFace, tcpFace, udpFace } from './face.ts';
import type { L4Ref } from './l4services.ts';
import { isAddress, isResolvableName, localFault } from './names.ts';
import type { TranslateOptions } from './options.ts';
import { compareText, type ProblemCode, problem } from './problems.ts';
import { settleService } from './servicesettings.ts';
import { noSecrets, type SecretStates, type SecretUse, upstreamTls } from './upstreamtls.ts';

type Service = ObjectOf<'Service'>;
type ServicePort = Service['spec']['ports'][number];

/** A Service port, everything that names it, and everything that it is made of. */
export interface PortInput {
  portKey: string;
  namespace: string;
  serviceName: string;
  /** As the Ingress writes it; null: the first port (of the default backend Service). */
  port: string | null;
  /** Oldest Ingress first. */
  users: readonly { draft: Draft; refs: readonly PortRef[] }[];
  isDefaultBackend: boolean;
  /** Ports of the gateway that lead here unread; all by one transport. */
  flows: readonly L4Ref[];
  service: Service | undefined;
  /** In order of name. */
  slices: readonly ObjectOf<'EndpointSlice'>[];
}

/** How a face is spoken to, and the Secrets that it takes. */
type Speech = Pick<Backend, 'protocol' | 'tls'> & { secrets: SecretUse };

/** Why nothing can be forwarded. */
interface Fault {
  code: ProblemCode;
  values: Record<string, string>;
  /** What asks for the impossible; absent: the backend itself. */
  annotation?: AnnotationName;
}

/** Makes the backend rows of a Service port, one for each face that Ingresses ask for, and the endpoints row they share. */
export function compilePort(
  input: PortInput,
  states: SecretStates,
  options: TranslateOptions,
): { rows: Row[]; problems: Problem[]; secrets: SecretUse } {
  const { portKey, namespace, serviceName, service } = input;
  const settings = settleService(
    input.users.map(({ draft }) => draft),
    portKey,
    options,
  );
  const problems = [...settings.problems];
  const found = service === undefined ? undefined : findPort(service, input.port, protocolNameOf(input));
  const shown = { namespace, name: serviceName, port: input.port ?? String(found?.port.port ?? '') };
  const source: Source = { kind: 'Service', namespace, name: serviceName, ...(found && { field: found.field }) };
  const target = targetOf(input, found?.port, settings.usesClusterIp, options);
  if ('problems' in target) problems.push(...target.problems);

  const rows: Row[] = [];
  const liveIds: string[] = [];
  const certificates: ObjectKey[] = [];
  const authorities: ObjectKey[] = [];
  for (const face of facesOf(input)) {
    const id = portKey + face.suffix;
    const speech = speechOf(input, face, found?.port, shown, states);
    const fault = 'fault' in target ? target.fault : 'fault' in speech ? speech.fault : null;
    if (fault !== null) problems.push(...faultProblems(input, face, fault));
    const broken = brokenBy(face, fault, source);
    if (broken !== null || 'fault' in speech) {
      rows.push({ kind: 'backend', row: brokenBackend(options, id, source, shown, broken) });
      continue;
    }
    if (face.tls !== null && speech.tls === null) problems.push(...withoutTls(input, face));
    liveIds.push(id);
    certificates.push(...speech.secrets.certificates);
    authorities.push(...speech.secrets.authorities);
    const row: Backend = {
      ...brokenBackend(options, id, source, shown, null),
      protocol: speech.protocol,
      tls: speech.tls,
      balance: settings.balance,
      slowStartMs: settings.slowStartMs,
      healthCheck: healthCheckFor(face, settings.healthCheck),
      outlier: settings.outlier,
      panicPercent: settings.panicPercent,
      circuit: settings.circuit,
      affinity: face.isSticky ? settings.cookie : settings.isHashed ? null : clientIpOf(service),
      prefer: preferenceOf(service),
    };
    rows.push({ kind: 'backend', row });
  }
  if (liveIds.length > 0 && 'endpoints' in target) {
    const { endpoints, dns } = target;
    rows.push({ kind: 'endpoints', row: { id: portKey, source, backendIds: liveIds, endpoints, dns } });
  }
  return { rows, problems, secrets: { certificates, authorities } };
}

/** What stands behind the port: addresses, a name to resolve, or a reason why nothing does. */
function targetOf(
  input: PortInput,
  port: ServicePort | undefined,
  usesClusterIp: boolean,
  options: TranslateOptions,
): ({ problems: Problem[] } & Pick<Endpoints, 'endpoints' | 'dns'>) | { fault: Fault } {
  const { service } = input;
  const values = serviceValues(input);
  if (service === undefined) return { fault: { code: 'ServiceNotFound', values } };
  if (service.spec.type === 'ExternalName') return externalTarget(service, input.port, port, values, options);
  if (port === undefined) return { fault: { code: 'ServicePortNotFound', values } };
  const protocol = protocolNameOf(input);
  if (port.protocol !== protocol) {
    const code = protocol === 'TCP' ? 'ServicePortNotTcp' : 'ServicePortNotUdp';
    return { fault: { code, values: { ...values, protocol: port.protocol } } };
  }
  if (usesClusterIp) {
    const addresses = new Set([service.spec.clusterIP ?? '', ...service.spec.clusterIPs]);
    const usable = [...addresses].find((address) => address !== '' && address !== 'None');
    if (usable !== undefined) return { endpoints: [fixedEndpoint(usable, port.port)], dns: null, problems: [] };
  }
  const rules = { allowsLoopback: options.allowsLoopbackEndpoints, protocol };
  const merged = mergeSlices(input.slices, service, port.name, rules);
  // As in ingress-nginx, where the wish of a whole gateway does not end what is headless.
  const unheard = usesClusterIp ? sourcesOf(input).map((at) => problem('ServiceHasNoAddress', at, values)) : [];
  return { ...merged, problems: [...merged.problems, ...unheard], dns: null };
}

/** All places that name the port. */
function sourcesOf({ users, flows, isDefaultBackend, namespace, serviceName }: PortInput): Source[] {
  const named = [...users.flatMap(({ refs }) => refs), ...flows].map(({ source }) => source);
  return isDefaultBackend ? [...named, { kind: 'Service', namespace, name: serviceName }] : named;
}

function externalTarget(
  service: Service,
  wanted: string | null,
  port: ServicePort | undefined,
  values: Record<string, string>,
  options: TranslateOptions,
): ReturnType<typeof targetOf> {
  const name = service.spec.externalName ?? '';
  const local = localFault(name);
  const fault =
    local !== undefined && !(local === 'loopback' && options.allowsLoopbackEndpoints)
      ? local
      : isResolvableName(name) || isAddress(name)
        ? null
        : 'not a DNS name';
  if (fault !== null) return { fault: { code: 'ExternalNameRefused', values: { ...values, name, fault } } };
  // A Service of this type needs no ports; the Ingress's number is then the port of the name.
  const targetPort = typeof port?.targetPort === 'number' ? port.targetPort : port?.port;
  const number = targetPort ?? (wanted !== null && /^\d{1,5}$/.test(wanted) ? Number(wanted) : 0);
  if (number < 1 || number > 65535) return { fault: { code: 'ServicePortNotFound', values } };
  if (isAddress(name)) return { endpoints: [fixedEndpoint(name, number)], dns: null, problems: [] };
  return { endpoints: [], dns: { name, port: number }, problems: [] };
}

/** By number of the port, then by its name, then (as ingress-nginx does) by its targetPort. */
function findPort(
  service: Service,
  wanted: string | null,
  protocol: 'TCP' | 'UDP',
): { port: ServicePort; field: string } | undefined {
  const { ports } = service.spec;
  const tests: ((port: ServicePort) => boolean)[] =
    wanted === null
      ? [() => true]
      : [
          (port) => String(port.port) === wanted,
          (port) => port.name !== '' && port.name === wanted,
          (port) => port.targetPort !== undefined && String(port.targetPort) === wanted,
        ];
  for (const test of tests) {
    const index = ports.findIndex((port) => port.protocol === protocol && test(port));
    const any = index === -1 ? ports.findIndex(test) : index;
    const port = ports[any];
    if (port !== undefined) return { port, field: `spec.ports[${any}]` };
  }
  return undefined;
}

function facesOf(input: PortInput): Face[] {
  const faces = new Map<string, Face>();
  if (input.isDefaultBackend) faces.set('', plainFace);
  for (const { transport } of input.flows) {
    const face = transport === 'udp' ? udpFace : tcpFace;
    faces.set(face.suffix, face);
  }
  for (const { refs } of input.users) for (const { face } of refs) faces.set(face.suffix, face);
  return [...faces.values()].sort((a, b) => compareText(a.suffix, b.suffix));
}

/** The protocol of a face: the annotation's, else that of the port's appProtocol (KEP-3726), else HTTP. */
function speechOf(
  input: PortInput,
  face: Face,
  port: ServicePort | undefined,
  shown: Backend['service'],
  states: SecretStates,
): Speech | { fault: Fault } {
  if (face.transport !== null) return { protocol: face.transport, tls: null, secrets: noSecrets };
  const wanted = (face.protocol ?? port?.appProtocol ?? 'http').toLowerCase().replace(/^kubernetes\.io\//, '');
  const protocol = protocolOf(wanted);
  if (protocol === null) {
    return { fault: { code: 'BackendProtocolUnsupported', values: { ...serviceValues(input), protocol: wanted } } };
  }
  if (protocol === 'http' || protocol === 'h2c') return { protocol, tls: null, secrets: noSecrets };
  const spoken = upstreamTls(face.tls, input.service, shown, states);
  if ('tls' in spoken) return { protocol, ...spoken };
  const { annotation, fault } = spoken;
  return { fault: { code: 'UpstreamTlsUnusable', values: { annotation, fault }, annotation } };
}

/** @param wanted in lower case; null: it is not spoken */
function protocolOf(wanted: string): Backend['protocol'] | null {
  if (wanted === 'https' || wanted === 'wss') return 'https';
  if (wanted === 'auto_http') return 'same-as-client';
  if (clear.has(wanted)) return 'h2c';
  if (wanted === 'grpcs' || wanted === 'h2') return 'h2';
  return wanted === 'fcgi' ? null : 'http';
}

/** HTTP/2 in the clear: gRPC has it so unless told otherwise, and `http2` is what meshes call it. */
const clear: ReadonlySet<string> = new Set(['grpc', 'h2c', 'http2']);

function brokenBy(face: Face, fault: Fault | null, source: Source): Backend['broken'] {
  if (face.deniedBy !== null) {
    return {
      status: 503,
      code: 'AnnotationDenies',
      message: `${face.deniedBy} cannot be honoured, so this path is closed.`,
    };
  }
  if (fault === null) return null;
  return {
    status: 503,
    code: fault.code,
    message: problem(fault.code, source, { ...fault.values, outcome: outcomeOf(face) }).message,
  };
}

/** Each place that names the port hears of the fault; the operator, where only the default backend does. */
function faultProblems(input: PortInput, face: Face, { code, values, annotation }: Fault): Problem[] {
  const users = usersOf(input, face);
  if (annotation !== undefined) {
    return users.map(({ draft }) => {
      const key = draft.annotations.keys[annotation] ?? annotation;
      return problem(code, annotationSource(draft, annotation), { ...values, annotation: key });
    });
  }
  const sources = users.flatMap(({ refs }) => refs.map((ref) => ref.source));
  if (face.transport !== null) sources.push(...input.flows.map((ref) => ref.source));
  if (input.isDefaultBackend && face.suffix === '') {
    sources.push({ kind: 'Service', namespace: input.namespace, name: input.serviceName });
  }
  return sources.map((source) => problem(code, source, { ...values, outcome: outcomeOf(face) }));
}

/** Settings of TLS where none is spoken; ingress-nginx skips them in silence. */
function withoutTls(input: PortInput, face: Face): Problem[] {
  const reason = `Service ${input.namespace}/${input.serviceName} is spoken to without TLS; it needs backend-protocol HTTPS`;
  return usersOf(input, face).flatMap(({ draft }) =>
    upstreamTlsNames.flatMap((name) => {
      const annotation = draft.annotations.keys[name];
      if (annotation === undefined) return [];
      return [problem('AnnotationWithoutEffect', annotationSource(draft, name), { annotation, reason })];
    }),
  );
}

/** Ingresses that ask for a face, with the places where they do. */
function usersOf({ users }: PortInput, face: Face): PortInput['users'] {
  return users
    .map(({ draft, refs }) => ({ draft, refs: refs.filter((ref) => ref.face.suffix === face.suffix) }))
    .filter(({ refs }) => refs.length > 0);
}

const upstreamTlsNames = Object.keys(upstreamTlsFamily) as (keyof typeof upstreamTlsFamily)[];

function annotationSource({ source, annotations }: Draft, name: AnnotationName): Source {
  return { ...source, field: `metadata.annotations[${annotations.keys[name]}]` };
}

/** A probe that speaks HTTP or gRPC in the clear would find every endpoint ill that speaks something else. */
function healthCheckFor({ transport }: Face, healthCheck: Backend['healthCheck']): Backend['healthCheck'] {
  const isFit = transport === null || (transport === 'tcp' && healthCheck?.probe.type === 'tcp');
  return isFit ? healthCheck : null;
}

/** What becomes of a face of which nothing can be forwarded; completes "so …". */
function outcomeOf({ transport }: Face): string {
  if (transport === 'udp') return 'its datagrams are dropped';
  return transport === 'tcp' ? 'its connections are reset' : 'its requests are answered with 503';
}

/** As Services spell it. */
function protocolNameOf({ flows }: PortInput): 'TCP' | 'UDP' {
  return flows[0]?.transport === 'udp' ? 'UDP' : 'TCP';
}

function serviceValues(input: PortInput): Record<string, string> {
  return { service: `${input.namespace}/${input.serviceName}`, port: input.port ?? 'at all' };
}

function clientIpOf(service: Service | undefined): Affinity | null {
  if (service?.spec.sessionAffinity !== 'ClientIP') return null;
  const seconds = service.spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800;
  return { type: 'client-ip', timeoutSeconds: Math.max(1, seconds) };
}

/** KEP-4444 and KEP-3015; the older annotation only ever asked for the zone. */
function preferenceOf(service: Service | undefined): Backend['prefer'] {
  const wish = service?.spec.trafficDistribution;
  if (wish === 'PreferSameNode') return 'node';
  if (wish === 'PreferClose' || wish === 'PreferSameZone') return 'zone';
  const annotations = service?.metadata.annotations ?? {};
  const mode =
    annotations['service.kubernetes.io/topology-mode'] ?? annotations['service.kubernetes.io/topology-aware-hints'];
  return mode?.toLowerCase() === 'auto' ? 'zone' : 'any';
}

function fixedEndpoint(address: string, port: number): Endpoints['endpoints'][number] {
  const conditions = { ready: true, serving: true, terminating: false };
  return { address, port, uid: `${address}:${port}`, zone: null, node: null, forZones: [], ...conditions, weight: 1 };
}
