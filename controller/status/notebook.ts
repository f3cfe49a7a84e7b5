import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';
import { finalizer } from '../addresses/claim.ts';
import { readRecord, recordAnnotation, writeRecord } from '../addresses/record.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ObjectKey } from '../watch/view.ts';
import type { WriteService } from './servicewriter.ts';

/** What was written into one Service. */
const Note = z.object({
  /** As the annotation has it. */
  record: z.string(),
  /** As its status has them. */
  addresses: z.array(z.string()),
});
type Note = z.infer<typeof Note>;
const Notes = z.record(z.string(), Note);

/**
 * Where a machine without an API server writes what a cluster writes into its Services, whose files are for their owner to
 * write: the record of a decision, and its status. A Service whose file is gone is remembered, for a file that is moved is gone
 * for a moment; it has its address again unless somebody else got it meanwhile.
 */
export class Notebook {
  readonly #path: string | null;
  readonly #notes: Map<ObjectKey, Note>;

  private constructor(path: string | null, notes: Map<ObjectKey, Note>) {
    this.#path = path;
    this.#notes = notes;
  }

  /** @param folder null: nothing is kept beyond this process. @throws when what is there cannot be read */
  static async open(folder: string | null): Promise<Notebook> {
    if (folder === null) return new Notebook(null, new Map());
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, 'addresses.json');
    try {
      return new Notebook(path, new Map(Object.entries(Notes.parse(JSON.parse(await readFile(path, 'utf8'))))));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Notebook(path, new Map());
      // Begun anew, Services would get each other's addresses.
      throw new Error(`${path} cannot be read: restore it, or delete it to have all addresses given anew`);
    }
  }

  /** A Service of a file as a cluster would show it. */
  complete(key: ObjectKey, service: ObjectOf<'Service'>): ObjectOf<'Service'> {
    const note = this.#notes.get(key);
    if (note === undefined) return service;
    const { metadata } = service;
    const annotations = { ...metadata.annotations, [recordAnnotation]: note.record };
    const ingress = note.addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
    return {
      ...service,
      metadata: { ...metadata, annotations, finalizers: [...new Set([...metadata.finalizers, finalizer])] },
      ...(ingress.length > 0 ? { status: { loadBalancer: { ingress } } } : {}),
    };
  }

  /** Every address that was given to somebody. */
  addresses(): Set<string> {
    return new Set([...this.#notes.values()].flatMap(addressesOf));
  }

  /** Whoever reads Services is to read them again after a write. */
  writer(onWritten: () => void): WriteService {
    return async (key, _service, step) => {
      const before = this.#notes.get(key);
      const { record, addresses } = before ?? { record: '', addresses: [] };
      if (step.type === 'release') this.#notes.delete(key);
      else if (step.type === 'status') this.#notes.set(key, { record, addresses: [...step.addresses] });
      else this.#notes.set(key, { record: writeRecord(step.intent.allocations), addresses });
      try {
        await this.#save();
      } catch (error) {
        if (before === undefined) this.#notes.delete(key);
        else this.#notes.set(key, before);
        return { status: 0, body: { message: reasonOf(error) }, retryAfterMs: null };
      }
      onWritten();
      return { status: 200, body: null, retryAfterMs: null };
    };
  }

  async #save(): Promise<void> {
    if (this.#path === null) return;
    const draft = `${this.#path}.new`;
    await writeFile(draft, JSON.stringify(Object.fromEntries(this.#notes), null, 2), { mode: 0o600, flush: true });
    await rename(draft, this.#path);
  }
}

function addressesOf({ record, addresses }: Note): string[] {
  return [...readRecord({ [recordAnnotation]: record }).map(({ address }) => address), ...addresses];
}
