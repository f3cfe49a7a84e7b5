import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type ApiServer, type Manifest, pathOf } from './apiserver.ts';
import { eventually } from './wait.ts';

const file = join(import.meta.dirname, '../../charts/sluice/files/crds.yaml');

/** Sluice's own kinds, as the chart installs them. */
export function ownDefinitions(): Manifest[] {
  const documents = parseAllDocuments(readFileSync(file, 'utf8'));
  return documents.map((document) => document.toJS() as Manifest);
}

/** Installs Sluice's own kinds, and waits until they are served. */
export async function installOwnKinds(api: ApiServer): Promise<void> {
  const definitions = ownDefinitions();
  await api.apply(...definitions);
  for (const definition of definitions) {
    await eventually(async () => {
      const { body } = await api.call('GET', pathOf(definition));
      // Null at first.
      const { conditions } = body['status'] as { conditions?: { type: string; status: string }[] | null };
      return conditions?.some(({ type, status }) => type === 'Established' && status === 'True') || undefined;
    }, `${definition.metadata.name} to be served`);
  }
}

export function addressPool(name: string, spec: object): Manifest {
  return { apiVersion: 'sluice.dev/v1', kind: 'AddressPool', metadata: { name }, spec };
}

export function announcement(name: string, spec: object): Manifest {
  return { apiVersion: 'sluice.dev/v1', kind: 'Announcement', metadata: { name }, spec };
}

export function bgpPeer(name: string, spec: object): Manifest {
  return { apiVersion: 'sluice.dev/v1', kind: 'BGPPeer', metadata: { name }, spec };
}
