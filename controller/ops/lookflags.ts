import { z } from 'zod';
import { duration, flag, list, text, toggle } from './flag.ts';
import { controllerFlags } from './flags.ts';

const reachFlags = { kubeconfig: controllerFlags.kubeconfig, context: controllerFlags.context };

/** Where an installation is, for a person who looks at it from outside. */
const lookFlags = {
  ...reachFlags,
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

/** What of a controller's settings decides what becomes of objects. */
const wordFlags = {
  ingressClass: controllerFlags.ingressClass,
  controllerClass: controllerFlags.controllerClass,
  adoptControllerClass: controllerFlags.adoptControllerClass,
  watchIngressWithoutClass: controllerFlags.watchIngressWithoutClass,
  configmap: controllerFlags.configmap,
};

export const lintFlags = {
  file: flag(
    list(text).refine((files) => files.length > 0, 'is needed'),
    'FILE',
    'file or folder of manifests, - for what comes on stdin; may be repeated',
  ),
  ...wordFlags,
};

const manifests = list(text).default([]);

export const explainFlags = {
  method: flag(
    // A token (RFC 9110 §9.1).
    text.regex(/^[!#$%&'*+.^_`|~\w-]+$/, 'must be a method like GET').default('GET'),
    'METHOD',
    'method of the request',
  ),
  header: flag(
    z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(text)).default([]),
    'FIELD',
    "header of the request, as 'name: value'; may be repeated",
  ),
  client: flag(
    z.union([z.ipv4(), z.ipv6()], { error: 'must be an IP address' }).nullable().default(null),
    'ADDRESS',
    'address of the client, where it decides who may come',
  ),
  listener: flag(text.nullable().default(null), 'ID', 'listener that it comes to (default: that of the URL)'),
  file: flag(manifests, 'FILE', 'ask manifests instead: file or folder, - for what comes on stdin; may be repeated'),
  tables: flag(
    text.nullable().default(null),
    'URL',
    'ask the tables of one proxy instead: its page, or a file with what it showed',
  ),
  ...reachFlags,
  namespace: lookFlags.namespace,
  selector: lookFlags.selector,
  ...wordFlags,
};

export const diffFlags = {
  from: flag(manifests, 'FILE', 'manifests of before: file or folder; may be repeated (default: what the cluster has)'),
  to: flag(
    list(text).refine((files) => files.length > 0, 'is needed'),
    'FILE',
    'manifests of after: file or folder, - for what comes on stdin; may be repeated',
  ),
  ...reachFlags,
  ...wordFlags,
};

export const reportFlags = {
  ...lookFlags,
  output: flag(
    z.string().min(1).default('sluice-report.tar.gz'),
    'PATH',
    'file to write, or a folder where the name does not end in .tar.gz',
  ),
};
