import type { Backend } from '#table/backend.ts';
import type { Problem, Source } from '#table/problem.ts';
import { untraced } from '../annotations/effect.ts';
import { type ReadAnnotations, readAnnotations } from '../annotations/parse.ts';
import type { IngressBackend, ObjectOf } from '../watch/objects.ts';
import { keyOf, type ObjectKey } from '../watch/view.ts';
import { brokenBackend } from './backendrow.ts';
import { type Face, faceOf, referenceOf, type SecretReference } from './face.ts';
import { everyHost, hostnameOf, wildcardOf } from './names.ts';
import type { TranslateOptions } from './options.ts';
import { problem } from './problems.ts';

/** A Service port as an Ingress names it. */
export interface PortRef {
  /** `<ns>/<service>/<port>`: id of the endpoints row, and of the backend row without its face. */
  portKey: string;
  face: Face;
  serviceKey: ObjectKey;
  /** Name or decimal number; '' when the Ingress gives none. */
  port: string;
  source: Source;
}

export interface DraftPath {
  routeId: string;
  hostname: string;
  /** `default`: takes what no rule of the host does. */
  kind: 'exact' | 'prefix' | 'default';
  path: string;
  source: Source;
  /** Rule and path index, padded: what orders the paths of one Ingress. */
  position: string;
  face: Face;
  backendId: string;
  service: { namespace: string; name: string; port: string };
}

export interface DraftTls {
  /** Lower case. */
  hosts: readonly string[];
  /** null: the default certificate. */
  secretKey: ObjectKey | null;
  source: Source;
}

/** One Ingress of ours, read on its own: all that needs no other object. */
export interface Draft {
  key: ObjectKey;
  source: Source;
  /** Sorts by age: creation time, then namespace/name. */
  age: string;
  annotations: ReadAnnotations;
  /** Of all paths but those that the operator exempts from authentication. */
  face: Face;
  /** Of auth-tls-secret, for every host of the Ingress; null: clients are not asked for a certificate. */
  clientSecret: SecretReference | null;
  /** Hostnames that it names, though it be left out as a whole: a host is its namespace's for it (see owner.ts). */
  named: readonly string[];
  /** Hostname → field that names it first. */
  hosts: ReadonlyMap<string, Source>;
  /** By hostname; a big Ingress has thousands of hosts, and each is made on its own. */
  pathsByHost: ReadonlyMap<string, readonly DraftPath[]>;
  tls: readonly DraftTls[];
  /** The first entry that lists a host, by that host. */
  tlsByHost: ReadonlyMap<string, DraftTls>;
  refsByPort: ReadonlyMap<string, readonly PortRef[]>;
  /** Backends that no Service stands behind. */
  brokenBackends: readonly Backend[];
  problems: readonly Problem[];
}

export function draftIngress(ingress: ObjectOf<'Ingress'>, options: TranslateOptions): Draft {
  const { namespace, name, annotations: texts, creationTimestamp } = ingress.metadata;
  const source: Source = { kind: 'Ingress', namespace, name };
  const annotations = readAnnotations(source, texts);
  const problems: Problem[] = [...annotations.problems];
  if (options.tracing === null) problems.push(...untraced(source, annotations.settings, annotations.keys));
  const faceWith = (deniedBy: string | null) =>
    faceOf(annotations, deniedBy, ingress.metadata, options.allowsOtherNamespaces);
  const face = faceWith(annotations.deniedBy);
  const exemptFace = faceWith(annotations.exemptDeniedBy);
  const named = annotations.settings['auth-tls-secret'];
  const clientSecret = named === undefined ? null : referenceOf(named, namespace, options.allowsOtherNamespaces);
  const hosts = new Map<string, Source>();
  const paths: DraftPath[] = [];
  const portRefs: PortRef[] = [];
  const brokenBackends: Backend[] = [];

  const addPath = (
    route: Omit<DraftPath, 'source' | 'face' | 'backendId' | 'service'>,
    at: Source,
    backend: IngressBackend,
    field: string,
  ): void => {
    const backendSource: Source = { ...source, field };
    const { service } = backend;
    if (service === undefined) {
      const resource = backend.resource?.kind;
      problems.push(
        resource === undefined
          ? problem('BackendMissing', backendSource)
          : problem('BackendResourceUnsupported', backendSource, { resource }),
      );
      const broken = { status: 404, code: 'BackendMissing', message: 'No Service stands behind this path.' };
      const nowhere = { namespace, name: '', port: '' };
      brokenBackends.push(brokenBackend(options, route.routeId, backendSource, nowhere, broken));
      paths.push({ ...route, source: at, face, backendId: route.routeId, service: nowhere });
      return;
    }
    // An empty name is none: API servers drop it, files may hold it.
    const port = service.port.name || String(service.port.number ?? '');
    // No Service can have a slash in its name; two that a file calls "a/b" and "a" must not meet in one key.
    const portKey = `${namespace}/${service.name.replaceAll('/', '%2F')}/${port}`;
    const isExempt = options.noAuthPrefixes.some((prefix) => route.path.startsWith(prefix));
    const spoken = isExempt && exemptFace.transport === null ? exemptFace : face;
    portRefs.push({ portKey, face: spoken, serviceKey: `${namespace}/${service.name}`, port, source: backendSource });
    const names = { namespace, name: service.name, port };
    paths.push({ ...route, source: at, face: spoken, backendId: portKey + spoken.suffix, service: names });
  };

  for (const [ruleIndex, rule] of ingress.spec.rules.entries()) {
    const ruleField = `spec.rules[${ruleIndex}]`;
    const hostname = hostnameOf(rule.host);
    if (hostname === undefined) {
      problems.push(problem('HostInvalid', { ...source, field: `${ruleField}.host` }, { host: rule.host ?? '' }));
      continue;
    }
    if (!hosts.has(hostname)) hosts.set(hostname, { ...source, field: ruleField });
    for (const [pathIndex, { path = '', pathType, backend }] of (rule.http?.paths ?? []).entries()) {
      const field = `${ruleField}.http.paths[${pathIndex}]`;
      const fault = pathProblem(source, field, path, pathType);
      if (fault !== undefined) {
        problems.push(fault);
        continue;
      }
      const routeId = `ingress/${namespace}/${name}/${ruleIndex}/${pathIndex}`;
      const kind = pathType === 'Exact' ? 'exact' : 'prefix';
      const position = `${pad(ruleIndex)}.${pad(pathIndex)}`;
      const at: Source = { ...source, field };
      addPath({ routeId, hostname, kind, path: path === '' ? '/' : path, position }, at, backend, `${field}.backend`);
    }
  }

  const { defaultBackend } = ingress.spec;
  if (defaultBackend !== undefined) {
    const field = 'spec.defaultBackend';
    const at: Source = { ...source, field };
    if (ingress.spec.rules.length === 0) hosts.set(everyHost, at);
    for (const [index, hostname] of [...hosts.keys()].entries()) {
      const routeId = `ingress/${namespace}/${name}/default/${index}`;
      addPath(
        { routeId, hostname, kind: 'default', path: '/', position: `default.${pad(index)}` },
        at,
        defaultBackend,
        field,
      );
    }
  } else if (ingress.spec.rules.length === 0) {
    problems.push(problem('IngressEmpty', source));
  }

  const tls = tlsOf(ingress, source);
  const ruled = new Set([...hosts.keys()].flatMap((hostname) => [hostname, wildcardOf(hostname) ?? hostname]));
  for (const entry of tls) problems.push(...hostsWithoutRule(entry, ruled));

  const whole = {
    key: keyOf(ingress),
    source,
    age: `${creationTimestamp}|${namespace}/${name}`,
    annotations,
    face,
    clientSecret,
    named: [...hosts.keys()],
  };
  if (annotations.isDropped || annotations.isCanary) {
    return { ...whole, ...nothing, problems };
  }
  return {
    ...whole,
    hosts,
    pathsByHost: Map.groupBy(paths, ({ hostname }) => hostname),
    tls,
    tlsByHost: new Map(tls.toReversed().flatMap((entry) => entry.hosts.map((host) => [host, entry]))),
    refsByPort: Map.groupBy(uniqueRefs(portRefs), ({ portKey }) => portKey),
    brokenBackends,
    problems: unique(problems),
  };
}

/** What an Ingress that is left out as a whole has. */
const nothing: Pick<Draft, 'hosts' | 'pathsByHost' | 'tls' | 'tlsByHost' | 'refsByPort' | 'brokenBackends'> = {
  hosts: new Map(),
  pathsByHost: new Map(),
  tls: [],
  tlsByHost: new Map(),
  refsByPort: new Map(),
  brokenBackends: [],
};

function tlsOf(ingress: ObjectOf<'Ingress'>, source: Source): DraftTls[] {
  const { namespace } = ingress.metadata;
  return ingress.spec.tls.map(({ hosts, secretName }, index) => ({
    hosts: hosts.map((host) => host.toLowerCase()),
    secretKey: secretName === undefined || secretName === '' ? null : `${namespace}/${secretName}`,
    source: { ...source, field: `spec.tls[${index}]` },
  }));
}

/** @param ruled hosts of rules, and the wildcards that cover them */
function hostsWithoutRule({ hosts, source }: DraftTls, ruled: ReadonlySet<string>): Problem[] {
  return hosts
    .filter((host) => !ruled.has(host))
    .map((host) => problem('TlsHostWithoutRule', { ...source, field: `${source.field}.hosts` }, { host }));
}

function pathProblem(source: Source, field: string, path: string, pathType: string | undefined): Problem | undefined {
  const types = ['Exact', 'Prefix', 'ImplementationSpecific'];
  if (pathType !== undefined && !types.includes(pathType)) {
    return problem('PathTypeUnknown', { ...source, field: `${field}.pathType` }, { pathType });
  }
  const fault = pathFault(path, pathType);
  return fault === undefined
    ? undefined
    : problem('PathInvalid', { ...source, field: `${field}.path` }, { path, fault });
}

/** The rules of the API server, which files have not been through. */
function pathFault(path: string, pathType: string | undefined): string | undefined {
  if (path === '') return undefined;
  if (!path.startsWith('/')) return 'does not start with "/"';
  if (/[\u0000-\u0020\u007f]/.test(path)) return 'holds white space or control characters';
  if (pathType !== 'Exact' && pathType !== 'Prefix') return undefined;
  const sequence = ['//', '/./', '/../', '%2f', '%2F'].find((part) => path.includes(part));
  if (sequence !== undefined) return `holds "${sequence}"`;
  return path.endsWith('/.') || path.endsWith('/..') ? 'ends with a dot segment' : undefined;
}

function pad(index: number): string {
  return String(index).padStart(4, '0');
}

/** A defaultBackend stands for several hosts with one field: its problem is told once. */
function unique(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ code, source, message }) => {
    const key = `${code} ${source.field} ${message}`;
    return !seen.has(key) && seen.add(key);
  });
}

function uniqueRefs(refs: readonly PortRef[]): PortRef[] {
  const seen = new Set<string>();
  return refs.filter(({ source }) => !seen.has(source.field ?? '') && seen.add(source.field ?? ''));
}
