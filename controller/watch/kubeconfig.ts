import { existsSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type { KubeConfig } from '@kubernetes/client-node';
import type { ClusterOptions } from './api.ts';
import { propertyOf } from './read.ts';

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface LoadedConfig {
  config: KubeConfig;
  server: string;
  namespace: string;
}

/** Rejects in one sentence if there is no usable configuration. */
export async function loadKubeConfig({ kubeconfig, context }: ClusterOptions): Promise<LoadedConfig> {
  const { KubeConfig } = await loadLibrary();
  const config = new KubeConfig();
  const isInCluster = !kubeconfig && process.env['KUBERNETES_SERVICE_HOST'] && existsSync(`${serviceAccount}/token`);
  try {
    if (kubeconfig) config.loadFromFile(kubeconfig);
    else if (isInCluster) config.loadFromCluster();
    else config.loadFromDefault();
  } catch (error) {
    throw new Error(`kubeconfig ${kubeconfig ?? '(default)'} cannot be read: ${reasonOf(error)}`);
  }
  if (context) {
    if (!config.getContextObject(context)) throw new Error(`the kubeconfig has no context named ${context}`);
    config.setCurrentContext(context);
  }
  const server = config.getCurrentCluster()?.server;
  if (!server) throw new Error('the kubeconfig names no cluster: give --kubeconfig, or a context that exists');
  const named = config.getContextObject(config.getCurrentContext())?.namespace;
  return { config, server, namespace: named ?? (isInCluster ? podNamespace() : 'default') };
}

/**
 * The client library is loaded only here, and of it what reads kubeconfigs: a quarter of a second and 40 MB, which a machine
 * without Kubernetes need not pay. With the generated clients, which it loads along and we never use, it is twice as much.
 */
async function loadLibrary(): Promise<typeof import('@kubernetes/client-node/dist/config.js')> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const isGenerated = specifier === './gen/index.js' && context.parentURL?.endsWith('/client-node/dist/config.js');
      return next(isGenerated ? new URL('generated.ts', import.meta.url).href : specifier, context);
    },
  });
  try {
    return await import('@kubernetes/client-node/dist/config.js');
  } finally {
    hooks.deregister();
  }
}

/** The YAML parser of the library shows the lines around a mistake, and a kubeconfig has tokens and keys in its lines. */
function reasonOf(error: unknown): string {
  const mark = propertyOf(error, 'mark');
  if (mark === undefined) return error instanceof Error ? error.message : String(error);
  return `it is not YAML at line ${Number(propertyOf(mark, 'line')) + 1}, column ${Number(propertyOf(mark, 'column')) + 1}`;
}

function podNamespace(): string {
  const path = `${serviceAccount}/namespace`;
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : 'default';
}
