import { createHash } from 'node:crypto';
import type { Log } from '#kit/log.ts';
import type { Problem, Source } from '#table/problem.ts';
import { type ApiAnswer, type Cluster, microTime, unanswered } from '../watch/api.ts';
import { apiVersions, isObjectKind } from '../watch/objects.ts';
import { propertyOf } from '../watch/read.ts';
import type { ClusterView } from '../watch/view.ts';
import { Pace } from './pace.ts';

export interface EventWriterOptions {
  cluster: Cluster;
  /** `sluice.dev/ingress-controller`. */
  controller: string;
  /** Name of this replica. */
  instance: string;
  log: Log;
}

const eventsPerSecond = 10;
const burst = 50;
/** Of the API: a note may have 1 kB. */
const longestNote = 1000;
/** What waits beyond this is dropped, the oldest first: an Event is a courtesy, the problem is in /problems anyway. */
const longestQueue = 1000;

/** Something that has happened to an object, and is over. */
export interface News {
  /** In CamelCase, as `kubectl describe` shows it. */
  reason: string;
  source: Source;
  uid: string;
  message: string;
  /** What was done. */
  action: 'Write' | 'Announce';
}

interface Waiting {
  name: string;
  uid: string;
  said: Problem | News;
}

/**
 * Tells problems, and what has been done, as Events on their objects: a problem once when it comes, again (as a series) when
 * it has gone and comes back. The name of an Event is made from its content, so a new leader that tells it again finds it there.
 */
export class EventWriter {
  readonly #options: EventWriterOptions;
  readonly #pace = new Pace(eventsPerSecond, burst);
  readonly #stop = new AbortController();
  #current = new Map<string, Waiting>();
  /** How often each was told by us; bounded by `longestMemory`. */
  readonly #toldByName = new Map<string, number>();
  readonly #queue = new Map<string, Waiting>();
  readonly #names = new WeakMap<Problem, { uid: string; name: string }>();
  #isLeader = false;
  #isWriting = false;
  #refusal = '';

  constructor(options: EventWriterOptions) {
    this.#options = options;
  }

  /** All problems that there are now. */
  report(problems: readonly Problem[], view: ClusterView): void {
    const before = this.#current;
    this.#current = new Map();
    for (const problem of problems) {
      const { kind, namespace, name: object } = problem.source;
      if (!isObjectKind(kind)) continue; // A file has no Events.
      const uid = view.get(kind, `${namespace}/${object}`)?.metadata.uid ?? '';
      const name = this.#nameOf(problem, uid);
      this.#current.set(name, { name, uid, said: problem });
    }
    for (const [name, waiting] of this.#current) if (!before.has(name)) this.#enqueue(waiting);
    for (const [name, { said }] of this.#queue) {
      if (isProblem(said) && !this.#current.has(name)) this.#queue.delete(name);
    }
    void this.#drain();
  }

  /** Tells what has been done. Only who leads does anything. */
  tell(news: News): void {
    const name = eventName({ ...news, code: news.reason }, news.uid);
    this.#enqueue({ name, uid: news.uid, said: news });
    void this.#drain();
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.set(waiting.name, waiting);
    if (this.#queue.size <= longestQueue) return;
    const [oldest = ''] = this.#queue.keys();
    this.#queue.delete(oldest);
  }

  /** Reports come with every change of anything; the digests of what stays are not made anew. */
  #nameOf(problem: Problem, uid: string): string {
    const made = this.#names.get(problem);
    if (made?.uid === uid) return made.name;
    const name = eventName(problem, uid);
    this.#names.set(problem, { uid, name });
    return name;
  }

  lead(isLeader: boolean): void {
    this.#isLeader = isLeader;
    void this.#drain();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #drain(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    while (this.#isLeader && !this.#stop.signal.aborted) {
      const next = this.#queue.values().next().value;
      if (!next) break;
      this.#queue.delete(next.name);
      await this.#pace.take(this.#stop.signal);
      const isTrue = !isProblem(next.said) || this.#current.has(next.name);
      if (this.#isLeader && isTrue && !this.#stop.signal.aborted) await this.#write(next);
    }
    this.#isWriting = false;
  }

  async #write(waiting: Waiting): Promise<void> {
    const { namespace } = waiting.said.source;
    const collection = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace || 'default')}/events`;
    const told = this.#toldByName.get(waiting.name) ?? 0;
    this.#toldByName.set(waiting.name, told + 1);
    if (this.#toldByName.size > longestMemory) this.#toldByName.delete(this.#toldByName.keys().next().value ?? '');
    const made = await this.#call('POST', collection, this.#event(waiting));
    if (made.status === 409 && told > 0) {
      const series = { count: told + 1, lastObservedTime: microTime() };
      await this.#call('PATCH', `${collection}/${encodeURIComponent(waiting.name)}`, { series });
    }
    if (made.status === 201 || made.status === 409) {
      this.#refusal = '';
      return;
    }
    // Not tried again: it is in the log and the list of problems, and what refuses one refuses thousands.
    const refusal = `Events cannot be written: ${made.status} ${propertyOf(made.body, 'message') ?? ''}`;
    if (refusal !== this.#refusal) this.#options.log.warn({ event: waiting.name }, refusal);
    this.#refusal = refusal;
  }

  async #call(method: 'POST' | 'PATCH', path: string, body: unknown): Promise<ApiAnswer> {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return await this.#options.cluster
      .call({ method, path, body, contentType, signal: this.#stop.signal })
      .catch(unanswered);
  }

  #event({ name, uid, said }: Waiting): object {
    const { kind, namespace, name: object, field } = said.source;
    const note = isProblem(said) ? `${field ? `${field}: ` : ''}${said.message} ${said.hint}`.trim() : said.message;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace: namespace || 'default' },
      eventTime: microTime(),
      ...(isProblem(said)
        ? { type: 'Warning', reason: said.code, action: 'Translate' }
        : { type: 'Normal', reason: said.reason, action: said.action }),
      note: note.length > longestNote ? `${note.slice(0, longestNote - 1)}…` : note,
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance,
      regarding: {
        ...(isObjectKind(kind) && { apiVersion: apiVersions[kind] }),
        kind,
        namespace,
        name: object,
        ...(uid && { uid }),
        ...(field && { fieldPath: field }),
      },
    };
  }
}

const longestMemory = 5_000;

function isProblem(said: Problem | News): said is Problem {
  return 'code' in said;
}

/** The same problem of the same object has the same name, so that it is told once whoever tells it. */
function eventName({ code, message, source }: Pick<Problem, 'code' | 'message' | 'source'>, uid: string): string {
  const content = JSON.stringify([uid, source.kind, source.namespace, source.name, source.field, code, message]);
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 16);
  return `${source.name.slice(0, 200)}.${digest}`;
}
