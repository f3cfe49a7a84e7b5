import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { ApiAnswer, Cluster } from '../watch/api.ts';
import { propertyOf } from '../watch/read.ts';

const pollMs = 500;

/** Deletes objects of one namespace, and waits until they and what they stand for are gone. */
export class Removal {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly log: Log;
  readonly #giveUpMs: number;

  /** @param giveUpMs By performance.now(). */
  constructor(cluster: Cluster, namespace: string, giveUpMs: number, log: Log) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.log = log;
    this.#giveUpMs = giveUpMs;
  }

  workloadPath(plural: 'deployments' | 'daemonsets', name = ''): string {
    const collection = `/apis/apps/v1/namespaces/${encodeURIComponent(this.namespace)}/${plural}`;
    return name === '' ? collection : `${collection}/${encodeURIComponent(name)}`;
  }

  /** Returns when its pods are gone, too. */
  async endWorkload(plural: 'deployments' | 'daemonsets', name: string): Promise<void> {
    const path = this.workloadPath(plural, name);
    // Foreground: the object itself goes last.
    await this.delete(path, { propagationPolicy: 'Foreground' });
    await this.until(`${plural} ${name} to end`, async () => (await this.cluster.call({ path })).status === 404);
  }

  async delete(path: string, options: object = {}): Promise<void> {
    const answer = await this.cluster.call({ method: 'DELETE', path, body: options });
    if (answer.status === 404) return;
    requireDone(answer, `${path} cannot be deleted`);
    this.log.info({ path }, 'deleted');
  }

  /**
   * What cannot be asked now is asked again: an API server may be away for a moment in the minutes that this takes.
   *
   * @throws When the time is over; `what` says what was waited for.
   */
  async until(what: string, isDone: () => Promise<boolean>): Promise<void> {
    for (;;) {
      let failure = '';
      try {
        if (await isDone()) return;
      } catch (error) {
        failure = `: ${reasonOf(error)}`;
      }
      if (performance.now() > this.#giveUpMs) throw new Error(`there was no time left to wait for ${what}${failure}`);
      await sleep(pollMs);
    }
  }
}

/** @throws What the server says, if it has not done what it was asked for. */
export function requireDone({ status, body }: ApiAnswer, what: string): void {
  if (status < 200 || status >= 300) throw new Error(`${what}: ${status} ${propertyOf(body, 'message') ?? ''}`.trim());
}
