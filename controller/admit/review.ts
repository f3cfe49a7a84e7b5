import { z } from 'zod';
import type { Problem } from '#table/problem.ts';
import type { TranslateOptions } from '../translate/options.ts';
import { type AnyObject, isObjectKind } from '../watch/objects.ts';
import { readObject } from '../watch/read.ts';
import type { ClusterView } from '../watch/view.ts';
import { ingressProblems } from './ingress.ts';
import { type Assignments, announcementProblems, peerProblems, poolProblems, strandedServices } from './kinds.ts';

/** The part of an AdmissionReview (admission.k8s.io/v1) that is read. */
export const AdmissionRequest = z.object({
  uid: z.string(),
  kind: z.object({ kind: z.string() }),
  operation: z.enum(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']),
  // There is none of one of them with most operations: null, or left out.
  object: z.unknown().optional(),
  oldObject: z.unknown().optional(),
});
export type AdmissionRequest = z.infer<typeof AdmissionRequest>;

/** What an object is judged by. */
export interface Bench {
  view: ClusterView;
  options: TranslateOptions;
  assignments: Assignments;
  nowMs: number;
}

export interface Verdict {
  /** Why the object is refused; empty: it is not. */
  refusals: readonly string[];
  warnings: readonly string[];
}

/**
 * Judges an object before it is there. What its author alone can correct is a reason to refuse it; what depends on objects that
 * may come later, or what is honoured otherwise than written, is a warning. An object that has a fault already may be changed in
 * other respects.
 */
export function review({ kind: { kind }, operation, object, oldObject }: AdmissionRequest, bench: Bench): Verdict {
  const old = read(kind, oldObject);
  if (operation === 'DELETE') {
    if (old?.kind !== 'AddressPool') return silence;
    return { refusals: [], warnings: strandedServices(bench.view, old.metadata.name, null, bench.assignments) };
  }
  const wanted = read(kind, object);
  if (wanted === null) return silence;
  const known = new Set(old === null ? [] : problemsOf(old, bench).map(textOf));
  const problems = problemsOf(wanted, bench);
  const isRefused = (problem: Problem) => faultsOfAuthor.has(problem.code) && !known.has(textOf(problem));
  const stranded =
    wanted.kind === 'AddressPool' && old !== null
      ? strandedServices(bench.view, wanted.metadata.name, wanted, bench.assignments)
      : [];
  return {
    refusals: problems.filter(isRefused).map(textOf),
    warnings: [...problems.filter((problem) => !isRefused(problem)).map(textOf), ...stranded],
  };
}

const silence: Verdict = { refusals: [], warnings: [] };

/** What the author of an object can correct in the object itself. */
const faultsOfAuthor: ReadonlySet<string> = new Set([
  ...['HostInvalid', 'PathInvalid', 'PathTypeUnknown', 'PathRegexInvalid', 'PathConflict', 'DefaultBackendConflict'],
  ...['BackendResourceUnsupported', 'PassthroughWithoutHost', 'PassthroughWithoutRoot'],
  ...['AnnotationDropsIngress', 'AnnotationClosesPaths', 'AnnotationClosesHost', 'AnnotationDenies'],
  ...['AddressPoolInvalid', 'AddressPoolOverlaps', 'PeerAddressInvalid', 'CommunityInvalid'],
]);

function problemsOf(object: AnyObject, { view, options, nowMs }: Bench): Problem[] {
  switch (object.kind) {
    case 'Ingress':
      return ingressProblems(view, object, options, nowMs);
    case 'AddressPool':
      return poolProblems(view, object);
    case 'BGPPeer':
      return peerProblems(object);
    case 'Announcement':
      return announcementProblems(view, object);
    default:
      return [];
  }
}

/** null: there is none, or none of a kind that is known here. The API server has checked its shape. */
function read(kind: string, raw: unknown): AnyObject | null {
  return raw === null || raw === undefined || !isObjectKind(kind) ? null : readObject(kind, raw).object;
}

function textOf({ code, source, message, hint }: Problem): string {
  const field = source.field === undefined ? '' : ` ${source.field}:`;
  return `${code}:${field} ${message} ${hint}`;
}
