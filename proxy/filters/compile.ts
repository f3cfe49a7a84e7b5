import { assertNever } from '#kit/assert.ts';
import type { Filter, HeaderEdits } from '#table/filter.ts';
import type { Route } from '#table/route.ts';
import type { CompiledFilters } from './compiled.ts';
import { compileCompression } from './compression.ts';
import { compileEdits } from './headers.ts';
import { compileHttpsRedirect } from './httpsredirect.ts';
import { inOrder } from './order.ts';
import { compileRedirect } from './redirect.ts';
import { compileHostRewrite, compilePathRewrite } from './rewrite.ts';
import { compileSourceRanges } from './sourceranges.ts';

/** What a route without filters shares: nothing to do, nothing to pay. */
const noFilters: CompiledFilters = {
  answer: null,
  denial: null,
  path: null,
  host: null,
  requestHeaders: null,
  responseHeaders: null,
  compression: null,
  tracing: null,
};

/**
 * Compiles the filters of a route or of one of its weighted backends. Never throws: what cannot be honoured safely (a field
 * value with a line break, say) is left out; the writer has told its author.
 *
 * @param match of the route: a prefix or a regex rewrite is about what the route's path matched
 */
export function compileFilters(filters: readonly Filter[], match: Route['match']): CompiledFilters {
  if (filters.length === 0) return noFilters;
  const answers: NonNullable<CompiledFilters['answer']>[] = [];
  const requestEdits: HeaderEdits[] = [];
  const responseEdits: HeaderEdits[] = [];
  let denial: CompiledFilters['denial'] = null;
  let path: CompiledFilters['path'] = null;
  let host: CompiledFilters['host'] = null;
  let compression: CompiledFilters['compression'] = null;
  let tracing: CompiledFilters['tracing'] = null;
  for (const filter of inOrder(filters)) {
    switch (filter.type) {
      case 'https-redirect':
        answers.push(compileHttpsRedirect(filter));
        break;
      case 'source-ranges':
        denial = both(denial, compileSourceRanges(filter));
        answers.push(denial);
        break;
      case 'redirect':
        answers.push(compileRedirect(filter, match));
        break;
      case 'rewrite':
        path = filter.path ? compilePathRewrite(filter.path, match) : path;
        host = compileHostRewrite(filter.hostname) ?? host;
        break;
      case 'request-headers':
        requestEdits.push(filter.edits);
        break;
      case 'response-headers':
        responseEdits.push(filter.edits);
        break;
      case 'compression':
        compression = compileCompression(filter.compression);
        break;
      case 'tracing':
        tracing = filter;
        break;
      default:
        assertNever(filter, 'filter');
    }
  }
  return {
    answer: firstAnswer(answers),
    denial,
    path,
    host,
    requestHeaders: compileEdits(requestEdits),
    responseHeaders: compileEdits(responseEdits),
    compression,
    tracing,
  };
}

function both(one: CompiledFilters['denial'], other: NonNullable<CompiledFilters['denial']>): typeof other {
  return one === null ? other : (request) => one(request) ?? other(request);
}

function firstAnswer(answers: readonly NonNullable<CompiledFilters['answer']>[]): CompiledFilters['answer'] {
  const [first, second] = answers;
  if (!first || !second) return first ?? null;
  return (request, bound) => {
    for (const answer of answers) {
      const local = answer(request, bound);
      if (local) return local;
    }
    return null;
  };
}
