import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { reasonOf } from '#kit/reason.ts';
import type { Announced } from '#table/announced.ts';
import { type PlanKind, type PlanRow, type PlanRows, planContract } from '#table/plan.ts';
import { sharedSecret } from '../../controller/publish/auth.ts';
import { type KeyPair, makeAuthority } from '../../controller/publish/certificates.ts';
import { feedOf } from '../../controller/publish/feed.ts';
import { Publisher } from '../../controller/publish/publisher.ts';
import { startTableServer, type TableServer } from '../../controller/publish/server.ts';
import { manyServices, otherEndpoint } from './manyservices.ts';

/** The publishing half of a controller in a network namespace: the test says what the plan is. */
export type ControllerMessage =
  /** Serves on `port`, 0 for any; puts `ca.crt` and `token` into the folder. The result is the port. */
  | { kind: 'start'; folder: string; port: number }
  | { kind: 'stop' }
  /** The result: what edges have said that they announce, to this server. */
  | { kind: 'announced' }
  /** The result comes when every edge has the plan: how long it took. */
  | { kind: 'publish'; rows: readonly PlanRow[]; gone: readonly { kind: PlanKind; id: string }[] }
  | { kind: 'fill'; services: number; endpoints: number; nodes: readonly PlanRow[] }
  | { kind: 'change'; nth: number };

/** Until every edge has a plan, and how much of that the controller took to commit it, ms. */
export interface Took {
  readonly allMs: number;
  readonly commitMs: number;
}

const log = pino({ level: 'silent' });
const publisher = new Publisher<PlanRows>(planContract);
/** By node. */
const announced = new Map<string, Set<string>>();
let authority: KeyPair | null = null;
let server: TableServer | null = null;
let rows: PlanRow[] = [];
let onApplied = () => {};
publisher.onApplied(() => onApplied());

process.on('message', (message: ControllerMessage & { id: number }) => {
  work(message).then(
    (result) => process.send?.({ id: message.id, result }),
    (error) => process.send?.({ id: message.id, error: reasonOf(error) }),
  );
});
process.on('disconnect', () => process.exit(0));

async function work(message: ControllerMessage): Promise<unknown> {
  switch (message.kind) {
    case 'start': {
      authority ??= await makeAuthority(Date.now());
      writeFileSync(join(message.folder, 'ca.crt'), authority.certPem);
      writeFileSync(join(message.folder, 'token'), 'a shared secret of the test\n');
      const authorize = sharedSecret(join(message.folder, 'token'));
      const feed = feedOf({
        ...{ contract: planContract, publisher, authorize, reader: 'edge', isCurrent: () => true, hearAnnounced, log },
      });
      server = await startTableServer({
        feeds: [feed],
        authority,
        address: '',
        port: message.port,
        extraNames: [],
        log,
      });
      return server.port;
    }
    case 'stop':
      // The next one is as new: it has heard nobody.
      announced.clear();
      return server?.stop();
    case 'announced':
      return [...announced].flatMap(([node, keys]) => [...keys].map((key) => `${node} ${key}`));
    case 'publish':
      return publish(message.rows, message.gone);
    case 'fill':
      rows = manyServices(message.services, message.endpoints);
      return publish([...message.nodes, ...rows], []);
    case 'change':
      return publish([otherEndpoint(rows, message.nth)], []);
  }
}

function hearAnnounced(node: string, news: Announced | null): boolean {
  if (news?.isWhole) announced.set(node, new Set());
  const keys = announced.get(node);
  for (const { way, address } of news?.gained ?? []) keys?.add(`${way} ${address}`);
  for (const { way, address } of news?.lost ?? []) keys?.delete(`${way} ${address}`);
  return keys !== undefined;
}

async function publish(upserts: readonly PlanRow[], gone: readonly { kind: PlanKind; id: string }[]): Promise<Took> {
  const startMs = performance.now();
  const { promise, resolve } = Promise.withResolvers<void>();
  onApplied = resolve;
  publisher.stage(upserts, gone);
  publisher.commit({}, {});
  const commitMs = performance.now() - startMs;
  if (publisher.isApplied()) resolve();
  await promise;
  return { allMs: performance.now() - startMs, commitMs };
}
