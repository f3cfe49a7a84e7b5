import { type AnyObject, type ObjectKind, objectSchemas } from './objects.ts';
import type { ReadProblem } from './view.ts';

export type ReadResult = { object: AnyObject; problem: null } | { object: null; problem: ReadProblem };

/**
 * Reads the part of an object that matters. Never throws: a wrong type is a problem that names the field and the
 * types, and never the value, which may be secret.
 */
export function readObject(kind: ObjectKind, raw: unknown): ReadResult {
  const parsed = objectSchemas[kind].safeParse(typeof raw === 'object' && raw !== null ? { ...raw, kind } : raw);
  if (parsed.success) return { object: withoutNoise(parsed.data), problem: null };
  const issue = parsed.error.issues[0];
  const field = fieldPath(issue?.path ?? []);
  const { namespace, name } = identityOf(raw);
  const message = `${field || 'the object'}: ${issue === undefined ? 'not readable' : inWords(issue.message)}`;
  return { object: null, problem: { code: 'ObjectMalformed', kind, namespace, name, field, message } };
}

/** Name and namespace of something that may be anything; '' for what is not a string. */
export function identityOf(raw: unknown): { namespace: string; name: string } {
  const metadata = propertyOf(raw, 'metadata');
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return { namespace: text(propertyOf(metadata, 'namespace')), name: text(propertyOf(metadata, 'name')) };
}

export function propertyOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** resourceVersions order as numbers (KEP-5505); one that is none is 0, and orders nothing. */
export function versionOf(raw: unknown): number {
  return Number(propertyOf(propertyOf(raw, 'metadata'), 'resourceVersion')) || 0;
}

const wordsByType: Readonly<Record<string, string>> = {
  record: 'a map',
  object: 'a map',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** The schemas speak of their own types; people who write manifests do not. */
function inWords(message: string): string {
  const [, expected = '', received = ''] = /^Invalid input: expected (\w+), received (\w+)$/.exec(message) ?? [];
  if (expected === '') return message;
  if (received === 'undefined') return 'is missing';
  return `must be ${wordsByType[expected] ?? expected}, not ${wordsByType[received] ?? received}`;
}

/** As kubectl explain spells it: `spec.rules[0].host`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
}

/** These change while nothing else does, or repeat the whole object; nothing reads them. */
const noisyAnnotations = [
  'kubectl.kubernetes.io/last-applied-configuration',
  'endpoints.kubernetes.io/last-change-trigger-time',
];

function withoutNoise(object: AnyObject): AnyObject {
  const { annotations } = object.metadata;
  for (const name of noisyAnnotations) delete annotations[name];
  // Agents of all sorts keep heartbeats in annotations of Nodes.
  if (object.kind === 'Node') object.metadata.annotations = {};
  return object;
}
