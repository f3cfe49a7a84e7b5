import { hostname } from 'node:os';
import { Agent, request } from 'undici';
import type { Tracing } from '#table/tracing.ts';
import type { Span } from './span.ts';

/** @returns null: they were taken; else why not */
export type SpanPost = (tracing: Tracing, spans: readonly Span[]) => Promise<string | null>;

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
  await body.dump();
  return statusCode === 200 ? null : `it was answered ${statusCode}`;
};
