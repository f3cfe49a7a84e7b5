import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { eventually } from './wait.ts';

const Value = z.union([z.object({ stringValue: z.string() }), z.object({ intValue: z.string().regex(/^\d+$/) })]);
const Attributes = z.array(z.strictObject({ key: z.string().min(1), value: Value })).transform((all) => {
  const values = all.map(
    ({ key, value }) => [key, 'intValue' in value ? Number(value.intValue) : value.stringValue] as const,
  );
  return Object.fromEntries(values) as Record<string, string | number>;
});
const SpanSchema = z.strictObject({
  traceId: z.string().regex(/^(?!0+$)[0-9a-f]{32}$/),
  spanId: z.string().regex(/^(?!0+$)[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  name: z.string().min(1),
  kind: z.literal(2),
  startTimeUnixNano: z.string().regex(/^\d{19}$/),
  endTimeUnixNano: z.string().regex(/^\d{19}$/),
  attributes: Attributes,
  status: z.strictObject({ code: z.int().min(0).max(2).optional() }),
});
/** ExportTraceServiceRequest of opentelemetry-proto, in JSON; nothing else is taken. */
const Request = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes: Attributes }),
      scopeSpans: z.array(z.strictObject({ scope: z.strictObject({ name: z.string() }), spans: z.array(SpanSchema) })),
    }),
  ),
});

export type ReceivedSpan = z.infer<typeof SpanSchema> & { resource: Record<string, string | number> };

/** A collector of spans, as OTLP over HTTP has it: decodes what comes, strictly, and keeps it. */
export class Collector {
  readonly spans: ReceivedSpan[] = [];
  /** What it could not read. */
  readonly faults: string[] = [];
  posts = 0;
  /** What it answers. */
  status = 200;
  answer = '{}';
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      this.posts++;
      const body = await text(request);
      const isPost = request.method === 'POST' && request.url === '/v1/traces';
      if (!isPost || request.headers['content-type'] !== 'application/json')
        this.faults.push(`${request.method} ${request.url}`);
      if (this.status === 200) this.#take(body);
      response.writeHead(this.status, { 'content-type': 'application/json' }).end(this.answer);
    });
  }

  static async start(): Promise<Collector> {
    const collector = new Collector();
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The span of a path that was asked for. */
  async spanOf(path: string): Promise<ReceivedSpan> {
    return eventually(
      async () => this.spans.find(({ attributes }) => attributes['url.path'] === path),
      `a span of ${path}`,
    );
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(body: string): void {
    const parsed = Request.safeParse(JSON.parse(body));
    if (!parsed.success) {
      this.faults.push(z.prettifyError(parsed.error));
      return;
    }
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      for (const { spans } of scopeSpans)
        this.spans.push(...spans.map((span) => ({ ...span, resource: resource.attributes })));
    }
  }
}
