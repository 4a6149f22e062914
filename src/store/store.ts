import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.js';
import { asFileProblem, canonicalJson, readJson, sha256, writeFileAtomic } from './files.js';

/** What a cached result was made from. Every value that can change the result belongs here. */
export type KeyInputs = Readonly<Record<string, unknown>>;

/** What is known of one file of an entry. */
export interface StoredFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** `entry.json`: what an entry was made from and what it holds. Written anew, atomically, after every file. */
export interface Manifest {
  readonly stage: string;
  readonly key: string;
  readonly inputs: KeyInputs;
  /** True once everything is there; false while an interrupted stage can still be continued. */
  readonly complete: boolean;
  readonly files: Readonly<Record<string, StoredFile>>;
  /** Small results kept in the manifest itself. */
  readonly notes: Readonly<Record<string, unknown>>;
}

/**
 * The content-addressed cache: `<root>/<stage>/<key>/`, the key being the hash of everything the result depends on.
 * Two runs that need the same thing find the same folder; a changed input makes another folder.
 */
export class Store {
  constructor(readonly root: string) {}

  /** The entry for these inputs, whether or not it is there yet. */
  entry(stage: string, inputs: KeyInputs): Entry {
    const key = sha256(canonicalJson({ stage, inputs })).slice(0, 32);
    return new Entry(join(this.root, stage, key), stage, key, inputs);
  }

  /** Every entry on disk; one whose manifest cannot be read has none. */
  async list(): Promise<Entry[]> {
    const found: Entry[] = [];
    for (const stage of (await readdir(this.root).catch(() => [])).sort()) {
      for (const key of (await readdir(join(this.root, stage)).catch(() => [])).sort()) {
        found.push(new Entry(join(this.root, stage, key), stage, key, {}));
      }
    }
    return found;
  }
}

/** One cached result: a folder of files whose hashes stand in its manifest. */
export class Entry {
  #manifest: Manifest | undefined;

  constructor(
    readonly directory: string,
    readonly stage: string,
    readonly key: string,
    readonly inputs: KeyInputs,
  ) {}

  /** The manifest, read once; undefined where nothing usable is there. */
  async manifest(): Promise<Manifest | undefined> {
    if (this.#manifest === undefined) {
      // A manifest that is not JSON is treated as absent: the stage runs again and writes a new one.
      const found = (await readJson(join(this.directory, 'entry.json')).catch(() => undefined)) as Manifest | undefined;
      if (found?.key === this.key && found.files instanceof Object) this.#manifest = found;
    }
    return this.#manifest;
  }

  /** Whether the result is all there. */
  async isComplete(): Promise<boolean> {
    return (await this.manifest())?.complete === true;
  }

  /**
   * Reads a file of the entry and checks its hash.
   *
   * @throws RottenError where the file is missing or not what was written
   */
  async read(name: string): Promise<Buffer> {
    const expected = (await this.manifest())?.files[name];
    const path = join(this.directory, name);
    const data = await readFile(path).catch(() => undefined);
    if (expected === undefined || data === undefined) throw new RottenError(this, path, 'is missing');
    if (data.byteLength !== expected.bytes || sha256(data) !== expected.sha256) {
      throw new RottenError(this, path, 'is not what was written there (its sha256 differs)');
    }
    return data;
  }

  /** Writes a file atomically, piece by piece, and records its hash in the manifest. */
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
    await writeFileAtomic(join(this.directory, name), hashed());
    const files = { ...(await this.manifest())?.files, [name]: { bytes, sha256: hash.digest('hex') } };
    await this.#save({ files });
  }

  /** Marks the entry as complete; `notes` are kept in the manifest. */
  async finish(notes: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.#save({ complete: true, notes });
  }

  /** Removes the entry and all that it holds. */
  async remove(): Promise<void> {
    this.#manifest = undefined;
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Bytes on disk of the files that the manifest names. */
  async bytes(): Promise<number> {
    return Object.values((await this.manifest())?.files ?? {}).reduce((sum, file) => sum + file.bytes, 0);
  }

  async #save(change: Partial<Manifest>): Promise<void> {
    const base = this.#manifest ?? {
      stage: this.stage,
      key: this.key,
      inputs: this.inputs,
      complete: false,
      files: {},
      notes: {},
    };
    this.#manifest = { ...base, ...change };
    await writeFileAtomic(join(this.directory, 'entry.json'), `${JSON.stringify(this.#manifest, null, 1)}\n`);
  }
}

/** A cached file that is not what was written. The stage that owns it removes the entry and computes it again. */
export class RottenError extends Error {
  override readonly name = 'RottenError';
  constructor(
    readonly entry: Entry,
    path: string,
    reason: string,
  ) {
    super(`${path}: ${reason}`);
  }
}

/** Makes sure that a folder is there and can be written. @throws InputError with what to do otherwise */
export async function ensureFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    if (!(await stat(path)).isDirectory()) throw new InputError(`${path}: a file, not a folder`);
  } catch (error) {
    throw asFileProblem(error, path);
  }
}
