import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type ChangeBatch, Commit, schemaVersion } from '#table/change.ts';
import { type AnyKinds, type Contract, type KindIn, kindsOf, type RowIn, type TableOf } from '#table/contract.ts';

/** Rows of one moment. */
export interface Saving<M> {
  readonly commit: Commit;
  readonly open: readonly RowsOfKind<M>[];
  /** Of sealed kinds. */
  readonly secret: readonly RowIn<M>[];
}

interface RowsOfKind<M> {
  readonly kind: KindIn<M>;
  readonly rows: readonly M[KindIn<M>][];
}

export interface DiskOptions<M> {
  readonly contract: Contract<M>;
  /** Folder of this process alone. */
  readonly dir: string;
  /** Holds the key as base64 of 32 bytes; null: `tables.key` in it, made when absent. */
  readonly keyFile: string | null;
}

/**
 * The last good table of a contract, for a start without a controller. One file, replaced as a whole; key material inside it is
 * encrypted, so that a copy of the file without the key gives nothing away.
 */
export class TableDisk<M extends AnyKinds> {
  readonly #contract: Contract<M>;
  readonly #file: string;
  readonly #key: Buffer;

  private constructor(contract: Contract<M>, file: string, key: Buffer) {
    this.#contract = contract;
    this.#file = file;
    this.#key = key;
  }

  /** @throws when the folder or the key cannot be read or made; the message says which */
  static async open<M extends AnyKinds>({ contract, dir, keyFile }: DiskOptions<M>): Promise<TableDisk<M>> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const key = await readKey(keyFile ?? join(dir, 'tables.key'), keyFile === null);
    return new TableDisk(contract, join(dir, 'tables.json'), key);
  }

  /** What is to be saved, of one moment: rows are immutable, so it costs a list of them. */
  take(table: TableOf<M>, commit: Commit): Saving<M> {
    const { sealed } = this.#contract;
    const kinds = kindsOf(table).map((kind): RowsOfKind<M> => ({ kind, rows: [...table[kind].values()] }));
    return {
      commit,
      open: kinds.filter(({ kind }) => !(kind in sealed)),
      secret: kinds
        .filter(({ kind }) => kind in sealed)
        .flatMap(({ kind, rows }) => rows.map((row) => ({ kind, row }) as RowIn<M>)),
    };
  }

  /**
   * In pieces, so that a large table holds nothing else up and is never in memory as one text.
   * @returns the time that making the text took, ms
   */
  async write({ commit, open: kinds, secret }: Saving<M>): Promise<number> {
    let madeMs = 0;
    await replaceFile(this.#file, async (put) => {
      const digest = createHash('sha256').update('[');
      await put('{"rows":[');
      let comma = '';
      for (const { kind, rows } of kinds) {
        for (let i = 0; i < rows.length; i += rowsPerPiece) {
          const startMs = performance.now();
          const texts = rows.slice(i, i + rowsPerPiece).map((row) => JSON.stringify({ kind, row }));
          const text = `${comma}${texts.join(',')}`;
          comma = ',';
          digest.update(text);
          madeMs += performance.now() - startMs;
          await put(text);
        }
      }
      const commitText = JSON.stringify(commit);
      const box = seal(JSON.stringify(secret), digest.update(`]${commitText}`).digest(), this.#key);
      await put(`],"schemaVersion":${schemaVersion},"commit":${commitText},"sealed":${JSON.stringify(box)}}\n`);
    });
    return madeMs;
  }

  /**
   * @returns null when nothing was ever saved
   * @throws when the file is damaged, of another key, or of a schema that is not read here
   */
  async load(): Promise<ChangeBatch<M> | null> {
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    const saved = Saved.parse(JSON.parse(text));
    if (saved.schemaVersion !== schemaVersion && saved.schemaVersion !== schemaVersion - 1) {
      throw new Error(`the saved tables have schema ${saved.schemaVersion}`);
    }
    const { schemas } = this.#contract;
    const savedRows = z.array(z.object({ kind: z.enum(kindsOf(schemas) as [KindIn<M>]), row: z.unknown() }));
    const inTheOpen = digestOf(JSON.stringify(saved.rows) + JSON.stringify(saved.commit));
    const secrets = savedRows.parse(JSON.parse(unseal(saved.sealed, inTheOpen, this.#key)));
    const upserts = [...savedRows.parse(saved.rows), ...secrets].map(({ kind, row }) => {
      return { kind, row: schemas[kind as KindIn<M>].parse(row) } as RowIn<M>;
    });
    return { isSnapshot: true, upserts, deletes: [], commit: Commit.parse(saved.commit) };
  }
}

/** A piece is a millisecond of work, and small enough to be young garbage. */
const rowsPerPiece = 100;

const Sealed = z.object({ nonce: z.string(), tag: z.string(), data: z.string() });
const Saved = z.object({ schemaVersion: z.int(), commit: z.unknown(), sealed: Sealed, rows: z.array(z.unknown()) });

/**
 * AES-256-GCM. The digest of the open rows and of the commit is authenticated with it: a file put together from two does not
 * load. By a commit of other rows the controller would be told that the table is the one that it has, and send nothing.
 */
function seal(text: string, inTheOpen: Buffer, key: Buffer): z.infer<typeof Sealed> {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(inTheOpen);
  const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return {
    nonce: nonce.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    data: data.toString('base64'),
  };
}

function unseal(sealed: z.infer<typeof Sealed>, inTheOpen: Buffer, key: Buffer): string {
  const tag = Buffer.from(sealed.tag, 'base64');
  // A shorter tag would be accepted by GCM and could be forged.
  if (tag.length !== 16) throw new Error('the saved tables are damaged');
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.nonce, 'base64'))
    .setAAD(inTheOpen)
    .setAuthTag(tag);
  return decipher.update(sealed.data, 'base64', 'utf8') + decipher.final('utf8');
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** @param isOurs The key is made when there is none, or none of use: what it sealed is lost then, and comes again. */
async function readKey(path: string, isOurs: boolean): Promise<Buffer> {
  const kept = await keyOf(path);
  if (kept !== null) return kept;
  if (!isOurs) throw new Error(`${path} does not hold a key: base64 of 32 bytes`);
  const key = randomBytes(32);
  await replaceFile(path, (put) => put(`${key.toString('base64')}\n`));
  return key;
}

/** null: there is none of use. A disk that was full, or a crash, leaves half a file behind. */
async function keyOf(path: string): Promise<Buffer | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const key = Buffer.from(text.trim(), 'base64');
  return key.length === 32 ? key : null;
}

/** Either the old or the new file survives a crash at any moment. */
async function replaceFile(path: string, fill: (put: (text: string) => Promise<void>) => Promise<void>): Promise<void> {
  const fresh = `${path}.new`;
  const file = await open(fresh, 'w', 0o600);
  try {
    await fill((text) => file.writeFile(text));
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(fresh, 0o600);
  await rename(fresh, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
}
