import type { Problem } from '#table/problem.ts';
import type { TranslateOptions } from '../translate/options.ts';
import { Translator } from '../translate/translator.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView } from '../watch/view.ts';
import { TrialView } from './trialview.ts';

/** Problems that an Ingress would have, by a translation of it and of what bears upon it. None where it is not ours. */
export function ingressProblems(
  view: ClusterView,
  ingress: ObjectOf<'Ingress'>,
  options: TranslateOptions,
  nowMs: number,
): Problem[] {
  const { namespace, name } = ingress.metadata;
  const { problems } = new Translator(options).apply(new TrialView(view, ingress), [], [], nowMs);
  return problems.filter(
    ({ code, source }) =>
      source.kind === 'Ingress' && source.namespace === namespace && source.name === name && !comesLater.has(code),
  );
}

/**
 * A Secret is looked at only when an Ingress names it, so it may well be there; and where an issuer of certificates is at work, the
 * Ingress comes first.
 */
const comesLater: ReadonlySet<string> = new Set(['SecretNotFound']);
