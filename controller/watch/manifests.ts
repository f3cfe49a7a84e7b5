import { type Document, LineCounter, parseAllDocuments } from 'yaml';
import { type AnyObject, apiVersions, isObjectKind, type ObjectKind } from './objects.ts';
import { identityOf, propertyOf, readObject } from './read.ts';
import { unknownFields } from './unknownfields.ts';
import type { ReadProblem } from './view.ts';

export interface Manifests {
  objects: AnyObject[];
  /** Objects that were skipped, and fields that were left out of others. */
  problems: ReadProblem[];
  /** Objects that are not for us whatever they say, as charts have Deployments beside: skipped, too. */
  strangers: ReadProblem[];
  /** Set when the text itself cannot be read: then `objects` is empty and says nothing. */
  syntax: ReadProblem | null;
}

const clusterScoped: ReadonlySet<string> = new Set([
  'IngressClass',
  'Namespace',
  'Node',
  'AddressPool',
  'BGPPeer',
  'Announcement',
  'CustomResourceDefinition',
]);

/** Other kinds of the groups that ours are in. */
const strangeKinds: ReadonlySet<string> = new Set(
  'Pod ServiceAccount PersistentVolume PersistentVolumeClaim ReplicationController ResourceQuota LimitRange NetworkPolicy'.split(
    ' ',
  ),
);
/** The last two: Ingresses of before, and what may be written in their place. */
const groups: ReadonlySet<string> = new Set([
  ...Object.values(apiVersions).map(groupOf),
  'extensions',
  'gateway.networking.k8s.io',
]);

/**
 * Reads one file of YAML documents or JSON (which is YAML 1.2). Never throws.
 *
 * @param fileName only for problems
 * @param namespace of objects that name none
 */
export function readManifests(text: string, fileName: string, namespace = 'default'): Manifests {
  const found: Manifests = { objects: [], problems: [], strangers: [], syntax: null };
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true });
  for (const document of Array.isArray(documents) ? documents : []) {
    const error = document.errors[0];
    if (error) return malformed(fileName, lines, error.pos[0], withoutQuotes(error.message));
    const value = plainOf(document);
    if (value === failed) return malformed(fileName, lines, document.range?.[0] ?? 0, 'an alias cannot be resolved');
    if (value === null || value === undefined) continue;
    if (typeof value !== 'object') {
      return malformed(fileName, lines, document.contents?.range?.[0] ?? 0, 'a document is not an object');
    }
    unfold(value, '', { fileName, namespace }, found);
  }
  return found;
}

const failed = Symbol('failed');

function plainOf(parsed: Document): unknown {
  try {
    const value: unknown = parsed.toJS({ maxAliasCount: 100 });
    JSON.stringify(value);
    return value;
  } catch {
    return failed; // Aliases that multiply without end, that point nowhere, or that stand within what they name.
  }
}

function malformed(fileName: string, lines: LineCounter, offset: number, what: string): Manifests {
  const { line, col } = lines.linePos(offset);
  const problem: ReadProblem = {
    code: 'FileMalformed',
    kind: 'File',
    namespace: '',
    name: fileName,
    field: `${line}:${col}`,
    message: `${fileName} line ${line}, column ${col}: ${what}`,
  };
  return { objects: [], problems: [], strangers: [], syntax: problem };
}

/** The parser quotes the text it stumbled over, which may be the value of a Secret. */
function withoutQuotes(message: string): string {
  return message.replace(/:? ?["'`][\s\S]*$/, '').trim() || 'not readable as YAML';
}

/** Where an object was read, and where it goes. */
interface Place {
  readonly fileName: string;
  readonly namespace: string;
}

/** Lists are unfolded in place. `listKind`: the kind that items of a typed list (IngressList) may leave out. */
function unfold(raw: object, listKind: string, place: Place, found: Manifests): void {
  const { fileName, namespace } = place;
  const given = propertyOf(raw, 'kind');
  const kind = typeof given === 'string' ? given : listKind;
  const items = propertyOf(raw, 'items');
  if (kind.endsWith('List') && Array.isArray(items)) {
    for (const item of items) {
      if (typeof item === 'object' && item !== null) unfold(item, kind.slice(0, -'List'.length), place, found);
      else found.problems.push(unknownKind(raw, kind, `${fileName}: an item of the ${kind} is not an object`));
    }
    return;
  }
  const apiVersion = propertyOf(raw, 'apiVersion');
  const isStrange = typeof apiVersion === 'string' && (!groups.has(groupOf(apiVersion)) || strangeKinds.has(kind));
  if (isStrange || !isObjectKind(kind)) {
    const message = kind
      ? `objects of kind ${kind} and apiVersion ${inText(apiVersion)} are not read`
      : 'the object has no kind';
    const problem = unknownKind(raw, kind, `${fileName}: ${message}`);
    (isStrange ? found.strangers : found.problems).push(problem);
    return;
  }
  if (apiVersion !== apiVersions[kind] && !(apiVersion === undefined && listKind)) {
    const message = `${fileName}: apiVersion: must be ${apiVersions[kind]}, not ${inText(apiVersion)}`;
    found.problems.push({ code: 'ObjectMalformed', kind, ...identityOf(raw), field: 'apiVersion', message });
    return;
  }
  const { object, problem } = readObject(kind, folded(raw, kind, namespace));
  if (problem) found.problems.push({ ...problem, message: `${fileName}: ${problem.message}` });
  else found.objects.push(object);
  for (const field of unknownFields(kind, raw)) {
    const message = `${fileName}: the kind ${kind} has no field ${field}.`;
    found.problems.push({ code: 'FieldUnknown', kind, ...identityOf(raw), field, message });
  }
}

/** A map may have a `toString` of its own, and could not be made a text. */
function inText(apiVersion: unknown): string {
  if (Array.isArray(apiVersion)) return 'a list';
  return typeof apiVersion === 'object' && apiVersion !== null ? 'a map' : String(apiVersion);
}

/** '' is the oldest one. */
function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
}

function unknownKind(raw: object, kind: string, message: string): ReadProblem {
  return { code: 'KindUnknown', kind, ...identityOf(raw), field: 'kind', message };
}

/** What an API server would do to the object on its way in: defaults of the namespace, nulls are absent, stringData → data. */
function folded(raw: object, kind: ObjectKind, namespaceOfNone: string): unknown {
  const object = withoutNulls(raw) as Record<string, unknown>;
  const metadata = object['metadata'];
  if (typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)) {
    const namespace = clusterScoped.has(kind) ? '' : (propertyOf(metadata, 'namespace') ?? namespaceOfNone);
    object['metadata'] = { ...metadata, namespace };
  }
  const stringData = object['stringData'];
  if (kind === 'Secret' && typeof stringData === 'object' && !Array.isArray(stringData)) {
    const encoded = Object.entries(stringData ?? {}).map(([name, value]) => [
      name,
      typeof value === 'string' ? Buffer.from(value).toString('base64') : value,
    ]);
    delete object['stringData'];
    object['data'] = { ...(object['data'] as object | undefined), ...Object.fromEntries(encoded) };
  }
  return object;
}

/** `kubectl create --dry-run -o yaml` prints `creationTimestamp: null`; to an API server null is the same as absent. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutNulls(inner)]));
}
