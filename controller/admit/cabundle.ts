import { z } from 'zod';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { Cluster } from '../watch/api.ts';

export interface CaBundleOptions {
  cluster: Cluster;
  /** Name of the ValidatingWebhookConfiguration. */
  name: string;
  /** PEM of the authority that the API server has to trust. */
  authorityPem: string;
  log: Log;
}

/**
 * Keeps our authority in the configuration of the webhook while this controller leads: whoever installs it does not know the
 * authority, and an upgrade writes over it.
 */
export class CaBundle {
  readonly #options: CaBundleOptions;
  #timer: NodeJS.Timeout | null = null;
  #failure = '';

  constructor(options: CaBundleOptions) {
    this.#options = options;
  }

  lead(isLeader: boolean): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = isLeader ? setInterval(() => void this.#keep(), everyMs) : null;
    if (isLeader) void this.#keep();
  }

  stop(): void {
    this.lead(false);
  }

  async #keep(): Promise<void> {
    try {
      await this.#write();
      this.#failure = '';
    } catch (error) {
      const failure = reasonOf(error);
      if (failure === this.#failure) return;
      this.#failure = failure;
      this.#options.log.warn(
        { webhook: this.#options.name },
        `the authority is not in the webhook configuration: ${failure}`,
      );
    }
  }

  async #write(): Promise<void> {
    const { cluster, name, authorityPem, log } = this.#options;
    const path = `/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/${encodeURIComponent(name)}`;
    const found = await cluster.call({ path });
    if (found.status !== 200) throw new Error(`reading it was answered ${found.status}`);
    const bundle = Buffer.from(authorityPem).toString('base64');
    // Each operation says which webhook it means: the list may have changed since.
    const operations = Configuration.parse(found.body).webhooks.flatMap(({ name, clientConfig }, i) =>
      clientConfig.caBundle === bundle
        ? []
        : [
            { op: 'test', path: `/webhooks/${i}/name`, value: name },
            { op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value: bundle },
          ],
    );
    if (operations.length === 0) return;
    const contentType = 'application/json-patch+json';
    const { status } = await cluster.call({ method: 'PATCH', path, body: operations, contentType });
    if (status !== 200) throw new Error(`changing it was answered ${status}`);
    log.info({ webhook: name }, 'the API server trusts the webhook from now on');
  }
}

const everyMs = 10_000;

const Configuration = z.object({
  webhooks: z
    .array(z.object({ name: z.string(), clientConfig: z.object({ caBundle: z.string().optional() }) }))
    .default([]),
});
