import { hostname } from 'node:os';
import { Agent, request } from 'undici';
import type { Tracing } from '#table/tracing.ts';
import type { Span } from './span.ts';

/** What became of spans. */
interface Outcome {
  /** Not taken. */
  readonly rejected: number;
  /** Why none was taken; null: some were. */
  readonly reason: string | null;
}

export type SpanPost = (tracing: Tracing, spans: readonly Span[]) => Promise<Outcome>;

/** ExportTraceServiceResponse. In JSON a number of 64 bits is a text. */
type Response = { partialSuccess?: { rejectedSpans?: unknown; errorMessage?: unknown } | null } | null;

const postMs = 5_000;
const agent = new Agent({ connections: 1, keepAliveTimeout: 10_000, connect: { timeout: postMs } });

/** One post of OTLP over HTTP in JSON (opentelemetry.io/docs/specs/otlp, ExportTraceServiceRequest). */
export const postSpans: SpanPost = async ({ endpoint, serviceName }, spans) => {
  const { statusCode, body } = await request(endpoint, {
    dispatcher: agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'sluice' },
    body: JSON.stringify({
      resourceSpans: [
        {
          resource: {
            attributes: [
              { key: 'service.name', value: { stringValue: serviceName } },
              { key: 'host.name', value: { stringValue: hostname() } },
            ],
          },
          scopeSpans: [{ scope: { name: 'sluice' }, spans }],
        },
      ],
    }),
    signal: AbortSignal.timeout(postMs),
  });
  if (statusCode === 200) return outcomeOf(await beginningOf(body), spans.length);
  await body.dump();
  return { rejected: spans.length, reason: `it was answered ${statusCode}` };
};

/** An answer need not be one of JSON: then all were taken, as its status says. */
function outcomeOf(answer: string, sent: number): Outcome {
  try {
    const { rejectedSpans, errorMessage = '' } = (JSON.parse(answer) as Response)?.partialSuccess ?? {};
    const count = Math.floor(Number(rejectedSpans));
    const rejected = count > 0 ? Math.min(count, sent) : 0;
    const reason = `it rejects them: ${String(errorMessage).slice(0, longestReason)}`;
    return { rejected, reason: rejected < sent ? null : reason };
  } catch {
    return { rejected: 0, reason: null };
  }
}

/** What is longer is no such answer. */
async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let left = longestAnswer;
  for await (const chunk of body) {
    chunks.push(chunk);
    left -= chunk.length;
    if (left < 0) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

const longestAnswer = 64 * 1024;
const longestReason = 200;
