import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Manifest } from './apiserver.ts';
import { canBuildGo, findGoProgram } from './goprogram.ts';

export const chart = resolve(import.meta.dirname, '../../charts/sluice');

/** What templates are told of the cluster: a Helm that was built from its module takes every cluster for a very old one. */
const kubeVersion = ['--kube-version', '1.36.3'];

/** For the `skip` of a test: false where helm is or can be built. With CI set, a missing tool is a failure. */
export function skipWithoutHelm(): string | false {
  if (besideApiServer() !== null || spawnSync('helm', ['version']).status === 0 || canBuildGo()) return false;
  const reason = 'needs helm: put it or Go on the PATH';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

export interface Rendering {
  /** Of the templates, hooks included; empty when it failed. */
  readonly objects: Manifest[];
  /** Of NOTES.txt. */
  readonly warnings: string;
  /** What Helm says against the values; '' for nothing. */
  readonly failure: string;
}

/**
 * The chart as `helm install gateway --namespace edge-system` would send it with these values.
 *
 * @param kubeconfig of the cluster that templates look into; null: there is none
 */
export function renderChart(
  values: { extraObjects?: unknown[]; [key: string]: unknown },
  kubeconfig: string | null = null,
): Rendering {
  // Without a cluster Helm tells no notes, but an object may ask for the same.
  const extraObjects = [
    ...(values.extraObjects ?? []),
    { warnings: '{{ include "sluice.warnings" . | trim | b64enc }}' },
  ];
  const cluster = kubeconfig === null ? kubeVersion : ['--dry-run=server', '--kubeconfig', kubeconfig, ...kubeVersion];
  const args = ['template', 'gateway', chart, '--namespace', 'edge-system', '--values', '-', ...cluster];
  const rendered = run(args, JSON.stringify({ ...values, extraObjects }));
  if (rendered.status !== 0) return { objects: [], warnings: '', failure: rendered.stderr.trim() };
  const documents = parseAllDocuments(rendered.stdout).flatMap((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return (document.toJS() as (Manifest & { warnings?: string }) | null) ?? [];
  });
  const { warnings = '' } = documents.find(({ warnings }) => warnings !== undefined) ?? {};
  return {
    objects: documents.filter(({ warnings }) => warnings === undefined),
    warnings: Buffer.from(warnings, 'base64').toString('utf8'),
    failure: '',
  };
}

/** What `helm lint --strict` says; '' for nothing. */
export function lintChart(values: object): string {
  const { status, stdout, stderr } = run(
    ['lint', '--strict', chart, '--values', '-', ...kubeVersion],
    JSON.stringify(values),
  );
  return status === 0 ? '' : stdout + stderr;
}

function run(args: readonly string[], input: string) {
  return spawnSync(findHelm(), args, { input, encoding: 'utf8', maxBuffer: 64 * 1_048_576 });
}

function findHelm(): string {
  return (
    besideApiServer() ??
    findGoProgram({
      name: 'helm',
      path: 'helm.sh/helm/v3/cmd/helm',
      module: 'helm.sh/helm/v3',
      version: 'v3.22.0',
    })
  );
}

function besideApiServer(): string | null {
  const path = join(process.env['KUBEBUILDER_ASSETS'] ?? '', 'helm');
  return process.env['KUBEBUILDER_ASSETS'] && existsSync(path) ? path : null;
}
