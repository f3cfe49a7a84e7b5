import type { Tracing } from '#table/tracing.ts';
import type { SpanPost } from './otlp.ts';
import type { ExchangeRecord } from './record.ts';
import { type Span, spanOf } from './span.ts';

/** Told when a collector stops to take spans, with why, and null when it takes them again. */
type OnFailure = (endpoint: string, reason: string | null) => void;

/**
 * Spans of one worker on their way to the collector. What sends them is loaded with the first one; where nothing is traced, a
 * request costs a look at a field. Nobody waits for a collector: at most one post is under way, the queue is bounded, and what does
 * not fit, or cannot be sent, is dropped and counted.
 */
export class Spans {
  dropped = 0;
  exported = 0;
  #queue: Span[] = [];
  /** As of the newest span. */
  #tracing: Tracing | null = null;
  #timer: NodeJS.Timeout | null = null;
  #posting: Promise<void> | null = null;
  #hasFailed = false;
  readonly #onFailure: OnFailure;

  constructor(onFailure: OnFailure) {
    this.#onFailure = onFailure;
  }

  finished(record: ExchangeRecord): void {
    const { trace } = record;
    if (trace === null || !trace.isSampled) return;
    this.#tracing = trace.tracing;
    if (this.#queue.length >= trace.tracing.queue) {
      this.dropped++;
      return;
    }
    this.#queue.push(spanOf(record, trace));
    if (this.#queue.length >= trace.tracing.batch) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), trace.tracing.delayMs).unref();
  }

  /** Sends what there is; within what a collector may take at most. */
  async close(): Promise<void> {
    while (this.#queue.length > 0 || this.#posting !== null) {
      this.#send();
      await this.#posting;
      if (this.#hasFailed) return;
    }
  }

  #send(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const tracing = this.#tracing;
    if (this.#posting !== null || tracing === null || this.#queue.length === 0) return;
    const spans = this.#queue.splice(0, tracing.batch);
    this.#posting = this.#post(tracing, spans).finally(() => {
      this.#posting = null;
      // After a failure the rest waits for the next turn of the timer.
      if (this.#queue.length >= tracing.batch && !this.#hasFailed) this.#send();
      else if (this.#queue.length > 0) this.#timer ??= setTimeout(() => this.#send(), tracing.delayMs).unref();
    });
  }

  async #post(tracing: Tracing, spans: readonly Span[]): Promise<void> {
    let rejected = spans.length;
    let reason: string | null;
    try {
      const { postSpans }: { postSpans: SpanPost } = await import('./otlp.ts');
      ({ rejected, reason } = await postSpans(tracing, spans));
    } catch (error) {
      reason = (error as Error).message;
    }
    this.exported += spans.length - rejected;
    this.dropped += rejected;
    if ((reason !== null) !== this.#hasFailed) this.#onFailure(tracing.endpoint, reason);
    this.#hasFailed = reason !== null;
  }
}
