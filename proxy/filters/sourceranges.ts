import type { Filter } from '#table/filter.ts';
import { admission } from '../match/ranges.ts';
import type { CompiledFilters, Denial } from './compiled.ts';

const denial: Denial = { status: 403, flag: 'AD', sentence: 'Requests from your address are not let through here.' };

/** Clients by address, as ingress-nginx has it: whom `deny` covers is refused, then whom `allow` does not cover. */
export function compileSourceRanges({
  sources,
}: Extract<Filter, { type: 'source-ranges' }>): NonNullable<CompiledFilters['denial']> {
  const isAdmitted = admission(sources);
  return (request) => (isAdmitted === null || isAdmitted(request.clientAddress) ? null : denial);
}
