import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { z } from 'zod';
import type { Log } from '#kit/log.ts';
import { type KeyPair, signLeaf } from '../publish/certificates.ts';
import { ended, listening } from '../publish/listening.ts';
import { readJson } from '../publish/readjson.ts';
import { AdmissionRequest, type Bench, review, type Verdict } from './review.ts';

export interface AdmissionOptions {
  address: string;
  /** 0 lets the kernel choose. */
  port: number;
  authority: KeyPair;
  /** In the certificate: how the API server calls us. */
  names: readonly string[];
  /** null: nothing has been seen of the cluster yet. */
  bench(): Bench | null;
  log: Log;
}

/** Reviews by what came of them; `failed`: we could not judge, and let the object in. */
type AdmissionCounts = Record<'allowed' | 'warned' | 'denied' | 'failed', number>;

export interface AdmissionServer {
  readonly port: number;
  readonly counts: Readonly<AdmissionCounts>;
  stop(): Promise<void>;
}

/**
 * Answers the API server at `POST /validate` (admission.k8s.io/v1).
 *
 * @throws When the port cannot be bound.
 */
export async function startAdmission(options: AdmissionOptions): Promise<AdmissionServer> {
  const { log, authority, names } = options;
  const counts: AdmissionCounts = { allowed: 0, warned: 0, denied: 0, failed: 0 };
  const leafOf = async () => {
    const { certPem, keyPem } = await signLeaf(authority, names, leafDays, Date.now());
    return { cert: certPem, key: keyPem, minVersion: 'TLSv1.2' } as const;
  };
  const limits = { headersTimeout: 10_000, requestTimeout: 10_000, handshakeTimeout: 10_000 };
  const server = createServer({ ...(await leafOf()), ...limits }, (request, response) => {
    response.on('error', () => {});
    answer(request, response).catch((error: unknown) => {
      log.error({ err: error }, 'a review was not answered');
      response.destroy();
    });
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST' || URL.parse(request.url ?? '/', 'https://webhook')?.pathname !== '/validate') {
      return end(response, 404, { error: 'there is only POST /validate' });
    }
    const parsed = Review.safeParse(await readJson(request, maxReviewBytes));
    if (!parsed.success) return end(response, 400, { error: 'the body is no AdmissionReview of admission.k8s.io/v1' });
    const verdict = judge(parsed.data.request);
    end(response, 200, { ...reviewType, response: responseOf(parsed.data.request.uid, verdict) });
  }

  /** Our own failure is no reason to refuse anything. */
  function judge(request: AdmissionRequest): Verdict {
    const bench = options.bench();
    try {
      if (bench === null) throw new Error('nothing has been seen of the cluster yet');
      const verdict = review(request, bench);
      counts[verdict.refusals.length > 0 ? 'denied' : verdict.warnings.length > 0 ? 'warned' : 'allowed']++;
      return verdict;
    } catch (error) {
      counts.failed++;
      log.error({ err: error, kind: request.kind.kind }, 'an object could not be judged, and is let in');
      return { refusals: [], warnings: [] };
    }
  }

  const port = await listening(server, options.address, options.port, (error) =>
    log.error({ err: error }, 'webhook server'),
  );
  const renewal = setInterval(() => {
    leafOf().then(
      (leaf) => server.setSecureContext(leaf),
      (error: unknown) => log.error({ err: error }, 'the certificate of the webhook could not be renewed'),
    );
  }, renewEveryMs);

  return {
    port,
    counts,
    async stop() {
      clearInterval(renewal);
      await ended(server);
    },
  };
}

const Review = z.object({ apiVersion: z.literal('admission.k8s.io/v1'), request: AdmissionRequest });
const reviewType = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' };

const leafDays = 30;
const renewEveryMs = 7 * 86_400_000;
/** Twice what an API server takes of an object, for the old and the new one. */
const maxReviewBytes = 8 * 1_048_576;
/** API servers cut what is longer, and drop warnings beyond 4096 characters together. */
const warningLength = 400;
const mostWarnings = 8;

function responseOf(uid: string, { refusals, warnings }: Verdict): object {
  const shown = warnings.slice(0, mostWarnings).map((text) => shortened(text, warningLength));
  if (warnings.length > mostWarnings) shown.push(`and ${warnings.length - mostWarnings} more`);
  const told = shown.length > 0 ? { warnings: shown } : {};
  if (refusals.length === 0) return { uid, allowed: true, ...told };
  const message = shortened(refusals.join('\n'), 4_000);
  return { uid, allowed: false, status: { code: 422, reason: 'Invalid', message }, ...told };
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function end(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
