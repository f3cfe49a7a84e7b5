import { isUtf8 } from 'node:buffer';
import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { findManifests, hasVanished, statOf } from './folder.ts';
import { HeldView } from './held.ts';
import { type Manifests, readManifests } from './manifests.ts';
import type { AnyObject } from './objects.ts';
import type { KindState, Source } from './source.ts';
import { keyOf, type ReadProblem, type ViewChange, type ViewUpdate } from './view.ts';

export interface FileSourceOptions {
  /** Read with all folders below it: *.yaml, *.yml, *.json. Names that begin with a dot are left out. */
  dir: string;
  onUpdate: (update: ViewUpdate) => void;
  /** Adds what a cluster has and files have not, by `kind namespace/name`; called whenever they are looked at. */
  complete?: (objects: Map<string, AnyObject>) => void;
}

/** A source that can be told that what `complete` adds has changed. */
export interface FileWatch extends Source {
  lookAgain(): void;
}

/** Editors and `kubectl` write in several steps; this is how long nothing may move before the files are read. */
const quietMs = 30;
/** Notifications get lost (network file systems, folders replaced as a whole, links to elsewhere); looking does not. */
const rescanMs = 1000;
/** A file that changed this short before it was read may change again within one tick of the file system's clock. */
const settledMs = 100;
/** A file that changed this short before it was looked at is still being written; less than quietMs, after which it is read. */
const movingMs = 20;
/** Where something moves all the time, this is how long it is waited for, or changes would come once a second. */
const restlessMs = 100;
/** `> file` empties a file before it is written anew, piece by piece: one that is shorter than it was only counts when it stays so. */
const shorterMs = 300;

interface FileRecord {
  stamp: string;
  ino: number;
  size: number;
  isSettled: boolean;
  /** Of the last text that could be read. */
  good: Manifests;
  /** Why the text that is there now cannot be read. */
  syntax: ReadProblem | null;
}

/** Follows a folder of manifests. The first update comes when all files have been read once. */
export function watchFiles(options: FileSourceOptions): FileWatch {
  const source = new FileSource(options);
  source.start();
  return source;
}

class FileSource implements FileWatch {
  readonly #options: FileSourceOptions;
  readonly #view = new HeldView();
  #recordsByPath = new Map<string, FileRecord>();
  #dirProblem: ReadProblem | null = null;
  #closedProblems: readonly ReadProblem[] = [];
  #unreadable: readonly ReadProblem[] = [];
  #watcher: FSWatcher | null = null;
  #quiet: NodeJS.Timeout | null = null;
  #rescan: NodeJS.Timeout | null = null;
  #isScanning = false;
  /** Something moved since the scan that runs now began. */
  #isStale = false;
  /** When something moved first since the folder was at rest; null: it is. */
  #restlessSinceMs: number | null = null;
  /** Scans in a row that did not count. */
  #vainScans = 0;
  #isStopped = false;
  #scannedAtMs = Number.NEGATIVE_INFINITY;
  #isSynced = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  start(): void {
    this.#listen();
    void this.#scan();
  }

  useSecrets(): ReadonlySet<string> {
    return new Set();
  }

  state(): Record<string, KindState> {
    const lastEventAgeMs = performance.now() - this.#scannedAtMs;
    const failure = this.#dirProblem?.message ?? null;
    return { File: { lastEventAgeMs, relists: 0, isSynced: this.#isSynced, failure } };
  }

  lookAgain(): void {
    if (this.#isSynced && !this.#isStopped) this.#tell();
  }

  stop(): void {
    this.#isStopped = true;
    this.#watcher?.close();
    if (this.#quiet) clearTimeout(this.#quiet);
    if (this.#rescan) clearTimeout(this.#rescan);
  }

  #listen(): void {
    if (this.#watcher || this.#isStopped) return;
    try {
      this.#watcher = watch(this.#options.dir, { recursive: true }, () => this.#scanSoon());
      this.#watcher.on('error', () => this.#deafen());
    } catch {
      this.#watcher = null; // Not there (yet): the re-scan says so, and tries again.
    }
  }

  #deafen(): void {
    this.#watcher?.close();
    this.#watcher = null;
  }

  /** While things move from one place to another, a look at the folder may see them in neither; some folders never come to rest. */
  #awaitsRest(): boolean {
    this.#restlessSinceMs ??= performance.now();
    return performance.now() - this.#restlessSinceMs < restlessMs;
  }

  #rescanIn(delayMs: number): void {
    this.#rescan = setTimeout(() => {
      if (this.#quiet !== null && this.#awaitsRest()) this.#rescanIn(quietMs);
      else void this.#scan();
    }, delayMs);
  }

  #scanSoon(): void {
    if (this.#isStopped) return;
    this.#restlessSinceMs ??= performance.now();
    if (this.#quiet) this.#quiet.refresh();
    else
      this.#quiet = setTimeout(() => {
        this.#quiet = null;
        void this.#scan();
      }, quietMs);
  }

  async #scan(): Promise<void> {
    this.#isStale = true;
    if (this.#isScanning || this.#isStopped) return;
    this.#isScanning = true;
    this.#isStale = false;
    if (this.#rescan) clearTimeout(this.#rescan);
    const { dir } = this.#options;
    let nextMs = rescanMs;
    let isNews = true;
    let isBelieved = true;
    try {
      const records = new Map<string, FileRecord>();
      let hasMoved = false;
      const { paths, closed } = await findManifests(dir);
      // What cannot be looked at is not gone: its last good content stays in force, in its place.
      const isKept = (path: string) => closed.some((folder) => path.startsWith(join(folder.path, '/')));
      const kept = [...this.#recordsByPath.keys()].filter(isKept);
      for (const path of [...paths, ...kept].sort()) {
        const before = this.#recordsByPath.get(path);
        const record = before && isKept(path) ? before : await readRecord(dir, path, before);
        if (record) records.set(path, record);
        else hasMoved ||= await hasVanished(path);
        if (record && record !== before && !record.isSettled) nextMs = settledMs;
      }
      const closedProblems = closed.map(({ path, reason }) => unreadableFile(relative(dir, path), reason));
      // Comparing 10,000 objects once a second took 2 % of a core, where nothing had moved.
      isNews =
        this.#dirProblem !== null ||
        JSON.stringify(closedProblems) !== JSON.stringify(this.#closedProblems) ||
        !areSame(records, this.#recordsByPath);
      hasMoved ||= isMoved(records, this.#recordsByPath) && !(await areStillThere(dir, records));
      // A long scan may be disturbed late: whatever the clock says, others follow.
      isBelieved = !hasMoved || (this.#vainScans >= 2 && !this.#awaitsRest());
      if (isBelieved) {
        this.#closedProblems = closedProblems;
        this.#recordsByPath = records;
        this.#dirProblem = null;
      }
    } catch (error) {
      const message = `the folder of manifests cannot be read: ${(error as Error).message}`;
      this.#dirProblem = { ...unreadableFile('.', ''), message };
      this.#deafen();
    }
    this.#isScanning = false;
    if (this.#isStopped) return;
    this.#scannedAtMs = performance.now();
    this.#vainScans = isBelieved ? 0 : this.#vainScans + 1;
    if (isBelieved) {
      if (this.#quiet === null) this.#restlessSinceMs = null;
      if (isNews || !this.#isSynced) this.#tell();
    }
    this.#listen();
    this.#rescanIn(this.#isStale ? 0 : isBelieved ? nextMs : quietMs);
  }

  /** Compares what the files say now with what is held, and reports the difference. */
  #tell(): void {
    const { objects, unreadable } = merge(this.#recordsByPath.values());
    this.#options.complete?.(objects);
    unreadable.push(...this.#closedProblems);
    if (this.#dirProblem) unreadable.push(this.#dirProblem);
    const changes: ViewChange[] = [];
    for (const object of objects.values()) {
      if (this.#view.put(object)) changes.push({ kind: object.kind, key: keyOf(object) });
    }
    for (const { kind, key } of this.#view.entries()) {
      if (objects.has(`${kind} ${key}`)) continue;
      this.#view.remove(kind, key);
      changes.push({ kind, key });
    }
    const isNews = JSON.stringify(unreadable) !== JSON.stringify(this.#unreadable);
    if (this.#isSynced && changes.length === 0 && !isNews) return;
    this.#unreadable = unreadable;
    this.#isSynced = true;
    this.#options.onUpdate({
      view: this.#view,
      changes,
      unreadable,
      seen: {},
      holds: {},
    });
  }
}

/** Reads a file again if it moved. null: it is no file, or gone. */
async function readRecord(dir: string, path: string, before: FileRecord | undefined): Promise<FileRecord | null> {
  const name = relative(dir, path);
  const good = before?.good ?? { objects: [], problems: [], strangers: [], syntax: null };
  // Before the file is looked at: what is written meanwhile is young.
  const nowMs = Date.now();
  try {
    const found = await statOf(path);
    if (!found?.isFile()) return null;
    const { ino, size } = found;
    const stamp = `${ino} ${size} ${found.mtimeMs} ${found.ctimeMs}`;
    if (before?.isSettled && before.stamp === stamp) return before;
    const ageMs = nowMs - Math.max(found.mtimeMs, found.ctimeMs);
    // A clock that runs behind the file's makes the age negative; such a file is as settled as it will get.
    const isYoungerThan = (limitMs: number) => ageMs < limitMs && ageMs >= -settledMs;
    const isShorter = ino === before?.ino && size < before.size;
    // Its writer may not be done, and what follows in it is not gone.
    if (before && isYoungerThan(isShorter ? shorterMs : movingMs)) return { ...before, isSettled: false };
    const isSettled = !isYoungerThan(settledMs);
    const bytes = await readFile(path);
    const record = { stamp, ino, size, isSettled };
    // Half a character more would be another host, path or password.
    if (!isUtf8(bytes)) return { ...record, good, syntax: unreadableFile(name, 'it is not text in UTF-8') };
    const manifests = readManifests(bytes.toString('utf8'), name);
    if (manifests.syntax) return { ...record, good, syntax: manifests.syntax };
    return { ...record, good: manifests, syntax: null };
  } catch (error) {
    // No stamp: it is tried again at each scan.
    const record = { stamp: '', ino: 0, size: 0, isSettled: true };
    return { ...record, good, syntax: unreadableFile(name, (error as Error).message) };
  }
}

/** An unchanged file keeps its record. */
function areSame(records: ReadonlyMap<string, FileRecord>, before: ReadonlyMap<string, FileRecord>): boolean {
  return records.size === before.size && [...records].every(([path, record]) => before.get(path) === record);
}

/** Whether there is another file at a path, or none: nothing else can be seen in neither of two places. */
function isMoved(records: ReadonlyMap<string, FileRecord>, before: ReadonlyMap<string, FileRecord>): boolean {
  return [...before].some(([path, { ino }]) => records.get(path)?.ino !== ino);
}

/** Looks again whether the files that were read are those that are there: a mounted ConfigMap may have been swapped meanwhile. */
async function areStillThere(dir: string, records: ReadonlyMap<string, FileRecord>): Promise<boolean> {
  const { paths, closed } = await findManifests(dir);
  const left = new Map(records);
  for (const path of paths) {
    const found = await statOf(path);
    if (!found?.isFile()) continue;
    const ino = left.get(path)?.ino;
    // 0: it could not be read.
    if (ino !== 0 && ino !== found.ino) return false;
    left.delete(path);
  }
  return [...left.keys()].every((path) => closed.some((folder) => path.startsWith(join(folder.path, '/'))));
}

function unreadableFile(name: string, reason: string): ReadProblem {
  const message = `${name} cannot be read: ${reason}`;
  return { code: 'FileMalformed', kind: 'File', namespace: '', name, field: '', message };
}

/** All files together, by `kind namespace/name`. The same object in two files: the first file by name wins. */
function merge(records: Iterable<FileRecord>): { objects: Map<string, AnyObject>; unreadable: ReadProblem[] } {
  const objects = new Map<string, AnyObject>();
  const unreadable: ReadProblem[] = [];
  for (const { good, syntax } of records) {
    for (const object of good.objects) {
      const key = `${object.kind} ${keyOf(object)}`;
      if (objects.has(key)) unreadable.push(duplicate(object));
      else objects.set(key, object);
    }
    unreadable.push(...good.problems, ...good.strangers);
    if (syntax) unreadable.push(syntax);
  }
  return { objects, unreadable };
}

/** What is said of an object that is there once more. */
export function duplicate({ kind, metadata: { namespace, name } }: AnyObject): ReadProblem {
  const message = `the ${kind} ${namespace}/${name} is there twice; the first, in the order of file names, is used`;
  return { code: 'ObjectDuplicate', kind, namespace, name, field: '', message };
}
