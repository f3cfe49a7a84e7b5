import { openApi, type Schema } from '../addresses/crd.ts';
import { type OwnKindName, ownKinds } from '../addresses/kinds.ts';
import { propertyOf } from './read.ts';

/**
 * Paths of the fields of an object that its kind does not have, where the kind is one of ours; an API server drops them. Fields of
 * other kinds are not all read here, so nothing can be said of those.
 */
export function unknownFields(kind: string, raw: object): string[] {
  if (!isOwnKind(kind)) return [];
  const beside = Object.keys(raw).filter((name) => !ofEveryObject.includes(name));
  return [...beside, ...unknownBelow(openApi(ownKinds[kind].spec), propertyOf(raw, 'spec'), 'spec')];
}

const ofEveryObject = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

function isOwnKind(kind: string): kind is OwnKindName {
  return Object.hasOwn(ownKinds, kind);
}

function unknownBelow({ properties, items }: Schema, value: unknown, path: string): string[] {
  if (Array.isArray(value)) {
    return items === undefined ? [] : value.flatMap((item, at) => unknownBelow(items, item, `${path}[${at}]`));
  }
  if (properties === undefined || typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
    return field === undefined ? [`${path}.${name}`] : unknownBelow(field, inner, `${path}.${name}`);
  });
}
