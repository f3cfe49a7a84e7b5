import { connect as connectTcp } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { Agent, type buildConnector, request } from 'undici';
import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';

export interface CheckSettings {
  /** Admin port of the controllers, `http://host:port`. */
  readonly controller: string;
  /** What the proxies answer at; each must answer with `status`, or null: with anything below 500. */
  readonly url: readonly string[];
  readonly status: number | null;
  /** Proxies demand a PROXY header of every connection. */
  readonly proxyHeader: boolean;
  /** How long what is not well yet may take, ms. */
  readonly timeout: number;
}

interface Outcome {
  readonly isWell: boolean;
  readonly text: string;
}

/**
 * Whether an installation serves: the controller has tables, every proxy has applied them, and a request for a host that nobody
 * has gets the page that says so. Asks again until all is well or the time is over; the text says what was found at last.
 */
export async function checkFleet(settings: CheckSettings): Promise<Outcome> {
  const giveUpMs = performance.now() + settings.timeout;
  // Whose certificate is shown to a host that nobody has is not the question here.
  const agent = new Agent({ connect: { rejectUnauthorized: false, timeout: callTimeoutMs } });
  const client = settings.proxyHeader ? new Agent({ connect: connectWithHeader }) : agent;
  try {
    for (;;) {
      const steps = [
        await step('the controller is ready', () => isReady(settings, agent)),
        await step('all proxies have applied the tables', () => haveApplied(settings, agent)),
        ...(await Promise.all(
          settings.url.map((url) => step(`${url} answers`, () => answers(url, settings.status, client))),
        )),
      ];
      const isWell = steps.every(({ failure }) => failure === null);
      if (isWell || performance.now() > giveUpMs) {
        const lines = steps.map(({ what, failure }) =>
          failure === null ? `ok    ${what}` : `wrong ${what}: ${failure}`,
        );
        return { isWell, text: `${lines.join('\n')}\n` };
      }
      await sleep(pauseMs);
    }
  } finally {
    await agent.destroy();
    await client.destroy();
  }
}

const callTimeoutMs = 5_000;
const pauseMs = 500;

async function step(
  what: string,
  act: () => Promise<string | null>,
): Promise<{ what: string; failure: string | null }> {
  try {
    return { what, failure: await act() };
  } catch (error) {
    return { what, failure: reasonOf(error) };
  }
}

async function isReady({ controller }: CheckSettings, agent: Agent): Promise<string | null> {
  const { status, body } = await get(new URL('/readyz', controller), agent);
  return status === 200 ? null : `${status} ${body.trim()}`;
}

const Readers = z.array(
  z.object({ name: z.string(), appliedHash: z.string().nullable(), refused: z.array(z.unknown()) }),
);

async function haveApplied({ controller }: CheckSettings, agent: Agent): Promise<string | null> {
  const { body } = await get(new URL('/proxies', controller), agent);
  const readers = Readers.parse(JSON.parse(body));
  if (readers.length === 0) return 'no proxy is connected';
  const refusing = readers.find(({ refused }) => refused.length > 0);
  if (refusing !== undefined) return `${refusing.name} has refused the newest`;
  const late = readers.find(({ appliedHash }) => appliedHash === null || appliedHash !== readers[0]?.appliedHash);
  return late === undefined ? null : `${late.name} is behind`;
}

async function answers(url: string, expected: number | null, agent: Agent): Promise<string | null> {
  const { status } = await get(new URL(url), agent, unknownHost);
  const isExpected = expected === null ? status < 500 : status === expected;
  return isExpected ? null : `with ${status}`;
}

/** "UNKNOWN" of PROXY version 1: the connection is its own, as that of a health check. */
const header = 'PROXY UNKNOWN\r\n';

const connectWithHeader: buildConnector.connector = ({ hostname, port, protocol }, done) => {
  const isTls = protocol === 'https:';
  const socket = connectTcp({ host: hostname, port: Number(port) || (isTls ? 443 : 80), timeout: callTimeoutMs });
  socket.write(header);
  socket.on('timeout', () => socket.destroy(new Error('it does not answer')));
  // No name: as without a header, whose certificate is shown is not the question.
  const stream = isTls ? connectTls({ socket, rejectUnauthorized: false }) : socket;
  // More than one may come: of the connection, and of TLS above it.
  stream.on('error', (error) => done(error, null));
  stream.once(isTls ? 'secureConnect' : 'connect', () => done(null, stream));
};

/** RFC 2606: nobody has it. */
const unknownHost = 'sluice-check.invalid';

async function get(url: URL, dispatcher: Agent, host: string = url.host): Promise<{ status: number; body: string }> {
  const answer = await request(url, {
    dispatcher,
    headers: { host },
    headersTimeout: callTimeoutMs,
    bodyTimeout: callTimeoutMs,
  });
  return { status: answer.statusCode, body: await answer.body.text() };
}
