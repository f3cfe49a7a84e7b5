import type { Log } from '#kit/log.ts';
import { recordAnnotation } from '../addresses/record.ts';
import { clearedStatus, releasedService, servicePatchType } from '../status/servicepatch.ts';
import { type Cluster, isOfAnother } from '../watch/api.ts';
import { propertyOf } from '../watch/read.ts';
import { requireDone } from './removal.ts';

/**
 * Services lose the addresses that we gave: nobody announces them any more, and with our finalizer they could never be deleted.
 * Those of others, which have no record of ours, are not touched.
 */
export async function releaseServices(cluster: Cluster, log: Log): Promise<void> {
  let next = '';
  do {
    const answer = await cluster.call({ path: `/api/v1/services?limit=500&continue=${encodeURIComponent(next)}` });
    requireDone(answer, 'Services cannot be listed');
    const items = propertyOf(answer.body, 'items');
    for (const service of Array.isArray(items) ? items : []) await release(cluster, service, log);
    next = String(propertyOf(propertyOf(answer.body, 'metadata'), 'continue') ?? '');
  } while (next !== '');
}

async function release(cluster: Cluster, service: unknown, log: Log): Promise<void> {
  const metadata = propertyOf(service, 'metadata');
  if (propertyOf(propertyOf(metadata, 'annotations'), recordAnnotation) === undefined) return;
  const [namespace, name] = [String(propertyOf(metadata, 'namespace')), String(propertyOf(metadata, 'name'))];
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(name)}`;
  const uid = String(propertyOf(metadata, 'uid'));
  for (const [at, body] of [
    [`${path}/status`, clearedStatus(uid)],
    [path, releasedService(uid)],
  ] as const) {
    const answer = await cluster.call({ method: 'PATCH', path: at, body, contentType: servicePatchType });
    // No controller of ours has seen the other.
    if (isOfAnother(answer)) return;
    requireDone(answer, `Service ${namespace}/${name} cannot be released`);
  }
  log.info({ service: `${namespace}/${name}` }, 'address taken back');
}
