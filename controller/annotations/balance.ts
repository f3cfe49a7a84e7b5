import type { HashPart } from '#table/backend.ts';
import type { Annotation, Family } from './annotation.ts';
import { booleanSyntax, oneOf, parseBoolean, parseInteger, textOf } from './values.ts';

const scope = 'service';
const badValue = 'drops-ingress';

const hashText = textOf(/^[A-Za-z0-9\-_${}]+$/);

/** How an endpoint is chosen. Affinity goes before upstream-hash-by, and that before load-balance. */
export const balanceFamily = {
  'load-balance': {
    scope,
    badValue,
    syntax: 'round_robin, least_request, ewma, chash, chashsubset, sticky_balanced or sticky_persistent',
    default: 'least_request',
    help: 'Algorithm. The chash and sticky words need upstream-hash-by and affinity beside them, which do the work alone.',
    parse: oneOf([
      'round_robin',
      'least_request',
      'ewma',
      'chash',
      'chashsubset',
      'sticky_balanced',
      'sticky_persistent',
    ]),
  } satisfies Annotation<string>,
  'upstream-hash-by': {
    scope,
    badValue,
    syntax: 'an expression of letters, digits, - _ $ and braces',
    default: 'none',
    help: 'Consistent hash of $request_uri, $uri, $host, $remote_addr, $http_NAME, $cookie_NAME, $arg_NAME and text, joined. With any other variable it has no effect.',
    parse: parseHashExpression,
  } satisfies Annotation<HashPart[]>,
  'upstream-hash-by-subset': {
    scope,
    badValue,
    syntax: booleanSyntax,
    default: 'false',
    help: 'Hash to a few endpoints, then a random one of them.',
    parse: parseBoolean,
  } satisfies Annotation<boolean>,
  'upstream-hash-by-subset-size': {
    scope,
    badValue,
    syntax: 'a whole number of endpoints, 0 or more',
    default: '3',
    help: 'Endpoints per subset; 0 means 3.',
    parse: parseSubsetSize,
  } satisfies Annotation<number>,
} as const satisfies Family;

const variables: Readonly<Record<string, HashPart>> = {
  request_uri: { type: 'target' },
  uri: { type: 'path' },
  document_uri: { type: 'path' },
  host: { type: 'host' },
  best_http_host: { type: 'host' },
  http_host: { type: 'host' },
  remote_addr: { type: 'source' },
  binary_remote_addr: { type: 'source' },
  the_real_ip: { type: 'source' },
};

/** The parts of an expression; none when it needs a variable that only nginx has. */
function parseHashExpression(value: string): HashPart[] | undefined {
  const text = hashText(value);
  if (text === undefined) return undefined;
  const parts: HashPart[] = [];
  const pattern = /\$\{(\w+)\}|\$(\w+)|([^$]+)|(\$)/g;
  for (const [, braced, plain, literal, stray] of text.matchAll(pattern)) {
    if (stray !== undefined) return [];
    const part = literal === undefined ? variable(braced ?? plain ?? '') : ({ type: 'text', value: literal } as const);
    if (part === undefined) return [];
    parts.push(part);
  }
  return parts;
}

function variable(name: string): HashPart | undefined {
  const known = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (known !== undefined) return known;
  const [, prefix, rest] = /^(http|cookie|arg)_(\w+)$/.exec(name) ?? [];
  if (rest === undefined) return undefined;
  // nginx spells a header's variable in lower case with underscores for dashes.
  if (prefix === 'http') return { type: 'header', name: rest.toLowerCase().replaceAll('_', '-') };
  return prefix === 'cookie' ? { type: 'cookie', name: rest } : { type: 'query', name: rest };
}

function parseSubsetSize(value: string): number | undefined {
  const size = parseInteger(value);
  if (size === undefined || size < 0 || size > 10_000) return undefined;
  return size === 0 ? 3 : size;
}
