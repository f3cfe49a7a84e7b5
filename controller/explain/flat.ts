/**
 * The fields of a row by their paths, in order: `timeouts.readMs` → `60000`. Items of a list that say of which type they are
 * stand under that, so that a filter more moves no other.
 */
export function flat(value: unknown, path = ''): [field: string, text: string][] {
  if (value === null || typeof value !== 'object') return [[path, JSON.stringify(value) ?? '']];
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== 'object')) {
    return [[path, JSON.stringify(value)]];
  }
  const entries = Array.isArray(value)
    ? value.map((item: unknown, at) => [`${path}[${typeOf(item) ?? at}]`, item] as const)
    : Object.entries(value).map(([name, inner]) => [path === '' ? name : `${path}.${name}`, inner] as const);
  return entries.flatMap(([inner, item]) => flat(item, inner));
}

function typeOf(item: unknown): string | null {
  const type = typeof item === 'object' && item !== null && 'type' in item ? item.type : null;
  return typeof type === 'string' ? type : null;
}
