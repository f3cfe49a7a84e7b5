import { z } from 'zod';
import { duration, flag, list, text, toggle } from './flag.ts';
import { controllerFlags } from './flags.ts';

/** Where an installation is, for a person who looks at it from outside. */
const lookFlags = {
  kubeconfig: controllerFlags.kubeconfig,
  context: controllerFlags.context,
  namespace: flag(text.nullable().default(null), 'NAME', 'namespace of the installation (default: wherever it is)'),
  selector: flag(text.default('app.kubernetes.io/name=sluice'), 'LABELS', 'labels that all pods of it have'),
  leaderElectionId: flag(text.default('sluice-controller'), 'NAME', 'name of the Lease of its controllers'),
  controllerClass: controllerFlags.controllerClass,
};

export const statusFlags = {
  ...lookFlags,
  wait: flag(toggle.default(false), null, 'wait until all is well, and say what changes meanwhile'),
  timeout: flag(duration.default(300_000), 'TIME', 'with --wait: no longer than this (default: 5m)'),
};

export const lintFlags = {
  file: flag(
    list(text).refine((files) => files.length > 0, 'is needed'),
    'FILE',
    'file or folder of manifests, - for what comes on stdin; may be repeated',
  ),
  ingressClass: controllerFlags.ingressClass,
};

export const reportFlags = {
  ...lookFlags,
  output: flag(
    z.string().min(1).default('sluice-report.tar.gz'),
    'PATH',
    'file to write, or a folder where the name does not end in .tar.gz',
  ),
};
