import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { rm, stat, utimes } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { ifThere } from '../errors.js';
import { seal, unseal } from '../json.js';
import { asFileProblem, hashFile, namesIn, readIfThere, sha256, writeFileAtomic } from './files.js';
import { MOST_TEXT } from './input.js';
import { isHeld, Lock, sweep } from './lock.js';

/** Every value that can change a cached result. */
export type KeyInputs = Readonly<Record<string, unknown>>;

/** Size and hash of one file of an entry. */
export interface StoredFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** `manifest.json`: an entry's inputs and content, written and sealed when the entry is complete. */
export interface Manifest {
  readonly stage: string;
  readonly key: string;
  readonly inputs: KeyInputs;
  readonly files: Readonly<Record<string, StoredFile>>;
  /** Small results. */
  readonly notes: Readonly<Record<string, unknown>>;
}

const MANIFEST = 'manifest.json';

/**
 * One cached result: a folder of files and a manifest with their hashes.
 *
 * A file's name on disk contains the beginning of its hash (`shard-00000-<16 digits>.safetensors`): each file can be checked by
 * itself, and several processes may write files of an entry at once, each under a lock ({@link tryLock}). The process that
 * finds all files finishes the entry.
 */
export class Entry {
  #manifest: Manifest | undefined;
  #used = false;
  /** Files that this process wrote, by name on disk: their hashes need not be computed again. */
  readonly #written = new Map<string, StoredFile>();

  constructor(
    readonly directory: string,
    readonly stage: string,
    readonly key: string,
    readonly inputs: KeyInputs = {},
    readonly onUse: () => Promise<void> = async () => {},
  ) {}

  /** The manifest, read once; undefined if the entry is incomplete. @throws CorruptEntryError */
  async manifest(): Promise<Manifest | undefined> {
    if (this.#manifest === undefined) {
      const path = join(this.directory, MANIFEST);
      const text = await readIfThere(path, MOST_TEXT);
      if (text === undefined) return undefined;
      const found = unseal(text.toString('utf8')) as Manifest | undefined;
      if (found === undefined) throw new CorruptEntryError(this, path, 'is not what was written there');
      if (found.key !== this.key || found.stage !== this.stage) {
        throw new CorruptEntryError(this, path, 'belongs to another entry');
      }
      this.#manifest = found;
    }
    return this.#manifest;
  }

  /** Whether the entry is complete. Records that it was used. @throws CorruptEntryError */
  async isComplete(): Promise<boolean> {
    if (!this.#used) await this.onUse();
    if ((await this.manifest()) === undefined) return false;
    if (!this.#used) {
      this.#used = true;
      const now = new Date();
      await utimes(join(this.directory, MANIFEST), now, now).catch(() => {}); // a read-only cache
    }
    return true;
  }

  /** Names of the entry's files, sorted; also of an unfinished entry. */
  async names(): Promise<string[]> {
    const manifest = await this.manifest();
    return (manifest === undefined ? [...(await this.#onDisk()).keys()] : Object.keys(manifest.files)).sort();
  }

  /** Path of a file. @throws CorruptEntryError if the entry has no file of this name */
  async path(name: string): Promise<string> {
    const known = (await this.manifest())?.files[name];
    const onDisk = known === undefined ? (await this.#onDisk()).get(name) : diskName(name, known.sha256);
    if (onDisk === undefined) throw new CorruptEntryError(this, join(this.directory, name), 'is missing');
    return join(this.directory, onDisk);
  }

  /** Reads a file and checks its hash. @throws CorruptEntryError if it is missing or was changed */
  async read(name: string): Promise<Buffer> {
    const path = await this.path(name);
    const data = await readIfThere(path);
    if (data === undefined) throw new CorruptEntryError(this, path, 'is missing');
    await this.#check(name, path, { bytes: data.byteLength, sha256: sha256(data) });
    return data;
  }

  /** Checks a file's hash. @throws CorruptEntryError */
  async verify(name: string): Promise<StoredFile> {
    const path = await this.path(name);
    const size = (await ifThere(path, stat(path)))?.size;
    if (size === undefined) throw new CorruptEntryError(this, path, 'is missing');
    const hash = await hashFile(path).catch((error) => Promise.reject(asFileProblem(error, path)));
    const found = { bytes: size, sha256: hash };
    await this.#check(name, path, found);
    return found;
  }

  /** Writes a file atomically, piece by piece. */
  async write(name: string, pieces: Iterable<Uint8Array>): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    const hashed = function* (): Generator<Uint8Array> {
      for (const piece of pieces) {
        hash.update(piece);
        bytes += piece.byteLength;
        yield piece;
      }
    };
    const path = join(this.directory, name);
    let digest = '';
    await writeFileAtomic(path, hashed(), () => {
      digest = hash.digest('hex');
      return join(this.directory, diskName(name, digest));
    });
    this.#written.set(diskName(name, digest), { bytes, sha256: digest });
  }

  /** Completes the entry with the existing files. Verifies files of other processes. @throws CorruptEntryError */
  async finish(notes: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const files: Record<string, StoredFile> = {};
    for (const [name, onDisk] of await this.#onDisk()) {
      files[name] = this.#written.get(onDisk) ?? (await this.verify(name));
    }
    const manifest: Manifest = { stage: this.stage, key: this.key, inputs: this.inputs, files, notes };
    await writeFileAtomic(join(this.directory, MANIFEST), seal(manifest));
    this.#manifest = manifest;
    this.#used = true;
  }

  /**
   * Takes the lock of the entry or of one of its files, and removes leftovers of killed processes.
   * @returns undefined if another process holds it @throws InputError if the cache cannot be written
   */
  async tryLock(name = 'entry'): Promise<Lock | undefined> {
    const lock = await Lock.tryTake(this.lockPath(name));
    if (lock !== undefined) await sweep(this.directory);
    return lock;
  }

  lockPath(name = 'entry'): string {
    return join(this.directory, `${name}.lock`);
  }

  /** Whether a living process is working on it. */
  async isBusy(): Promise<boolean> {
    for (const name of await namesIn(this.directory)) {
      if (name.endsWith('.lock') && (await isHeld(join(this.directory, name)))) return true;
    }
    return false;
  }

  /** Removes the entry, the manifest first: an entry with missing files never looks complete. */
  async remove(): Promise<void> {
    await this.discard();
    await rm(this.directory, { recursive: true, force: true }).catch((error: unknown) => {
      throw asFileProblem(error, this.directory);
    });
  }

  /** Removes the manifest and the file at this path; the other files stay. */
  async discard(path?: string): Promise<void> {
    this.#manifest = undefined;
    this.#written.delete(basename(path ?? ''));
    for (const damaged of [join(this.directory, MANIFEST), ...(path === undefined ? [] : [path])]) {
      await rm(damaged, { force: true }).catch((error: unknown) => {
        throw asFileProblem(error, damaged);
      });
    }
  }

  /** Bytes on disk, and the time of the last use or write in ms since 1970. */
  async usage(): Promise<{ readonly bytes: number; readonly lastUsedMs: number }> {
    const names = await namesIn(this.directory);
    const found = await Promise.all(names.map((name) => this.#statOf(name)));
    const bytes = found.reduce((sum, file) => sum + (file?.size ?? 0), 0);
    const manifest = found[names.indexOf(MANIFEST)];
    const folder = await this.#statOf('.');
    const changed = [folder, ...found].map((file) => file?.mtimeMs ?? 0);
    return { bytes, lastUsedMs: manifest?.mtimeMs ?? Math.max(...changed) };
  }

  /** Unknown files in the folder, except locks and temporary files. */
  async strays(): Promise<string[]> {
    const manifest = await this.manifest();
    if (manifest === undefined) return [];
    const named = new Set(Object.entries(manifest.files).map(([name, file]) => diskName(name, file.sha256)));
    const others = (await namesIn(this.directory)).filter((name) => name !== MANIFEST && !named.has(name));
    return others.filter((name) => !/\.(lock|tmp)$/.test(name)).map((name) => join(this.directory, name));
  }

  async #check(name: string, path: string, found: StoredFile): Promise<void> {
    const expected = (await this.manifest())?.files[name];
    const fits =
      expected === undefined
        ? basename(path) === diskName(name, found.sha256)
        : expected.bytes === found.bytes && expected.sha256 === found.sha256;
    if (!fits) throw new CorruptEntryError(this, path, 'is not what was written there (its sha256 differs)');
  }

  /** Names on disk by name; the first of several with one name (after a lost lock). */
  async #onDisk(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const file of (await namesIn(this.directory)).sort()) {
      const [, stem, extension] = /^(.+)-[0-9a-f]{16}((?:\.[a-z]+)?)$/.exec(file) ?? [];
      if (stem !== undefined && !found.has(`${stem}${extension}`)) found.set(`${stem}${extension}`, file);
    }
    return found;
  }

  #statOf(name: string): Promise<Stats | undefined> {
    const path = join(this.directory, name);
    return ifThere(path, stat(path));
  }
}

function diskName(name: string, hash: string): string {
  const extension = extname(name);
  return `${basename(name, extension)}-${hash.slice(0, 16)}${extension}`;
}

/** A missing or changed file of the cache. {@link discard} removes it, and it is computed again. */
export class CorruptEntryError extends Error {
  override readonly name = 'CorruptEntryError';
  /** The file's path without its hash, to recognise repeated damage. */
  readonly subject: string;

  constructor(
    readonly entry: Entry,
    readonly path: string,
    reason: string,
  ) {
    super(`${path}: ${reason}`);
    this.subject = path.replace(/-[0-9a-f]{16}(\.[a-z]+)?$/, '$1');
  }

  /** @throws InputError if it cannot be removed */
  async discard(): Promise<void> {
    await this.entry.discard(this.path);
  }
}
