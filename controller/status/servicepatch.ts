import { finalizer } from '../addresses/claim.ts';
import { recordAnnotation, writeRecord } from '../addresses/record.ts';
import { type ApiAnswer, type Cluster, unanswered } from '../watch/api.ts';
import { type ObjectKey, splitKey } from '../watch/view.ts';
import type { WriteService } from './servicewriter.ts';

/** Form of these patches: of lists they name what goes or comes, so that what others write meanwhile stays. */
export const servicePatchType = 'application/strategic-merge-patch+json';

/** To be written into the status of a Service that has no address of ours any more. */
export function clearedStatus(uid: string): object {
  return { metadata: { uid }, status: { loadBalancer: null } };
}

/** To be written last into a Service that is given back, because the object may go with it. */
export function releasedService(uid: string): object {
  const annotations = { [recordAnnotation]: null };
  return { metadata: { uid, annotations, '$deleteFromPrimitiveList/finalizers': [finalizer] } };
}

/** Writes into Services of an API server. The uid is a condition: of a Service that was deleted and made anew, nothing is changed. */
export function patchServices(cluster: Cluster): WriteService {
  const patch = async (
    key: ObjectKey,
    subresource: '' | '/status',
    body: object,
    signal: AbortSignal,
  ): Promise<ApiAnswer> => {
    const [namespace, name] = splitKey(key);
    return await cluster
      .call({
        method: 'PATCH',
        path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(name)}${subresource}`,
        contentType: servicePatchType,
        body,
        signal,
      })
      .catch(unanswered);
  };

  return async (key, service, step, signal) => {
    const { uid } = service.metadata;
    if (step.type === 'status') {
      const ingress = step.addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
      return await patch(key, '/status', { metadata: { uid }, status: { loadBalancer: { ingress } } }, signal);
    }
    if (step.type === 'record') {
      const annotations = { [recordAnnotation]: writeRecord(step.intent.allocations) };
      return await patch(key, '', { metadata: { uid, annotations, finalizers: [finalizer] } }, signal);
    }
    if (step.intent.clearsStatus) {
      const cleared = await patch(key, '/status', clearedStatus(uid), signal);
      if (cleared.status !== 200) return cleared;
    }
    return await patch(key, '', releasedService(uid), signal);
  };
}
