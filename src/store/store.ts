import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.js';
import { ifThere } from '../system-error.js';
import { registerProcess } from './active-processes.js';
import { Entry, type KeyInputs } from './entry.js';
import { asFileProblem, canonicalJson, makeFolder, sha256 } from './files.js';

export { CorruptEntryError, Entry, type KeyInputs, type Manifest, type StoredFile } from './entry.js';

/**
 * The content-addressed cache: `<root>/<stage>/<key>/`, the key being the hash of everything the result depends on.
 * Two runs that need the same thing find the same folder; a changed input makes another folder.
 */
export class Store {
  constructor(readonly root: string) {}

  /** The entry for these inputs, whether or not it exists. */
  entry(stage: string, inputs: KeyInputs): Entry {
    const key = sha256(canonicalJson({ stage, inputs })).slice(0, 32);
    return new Entry(join(this.root, stage, key), stage, key, inputs, () => registerProcess(this.root));
  }

  /** Every entry on disk, complete or not. Listing does not count as use. */
  async list(): Promise<Entry[]> {
    const found: Entry[] = [];
    for (const stage of await foldersIn(this.root)) {
      for (const key of await foldersIn(join(this.root, stage))) {
        found.push(new Entry(join(this.root, stage, key), stage, key));
      }
    }
    return found;
  }
}

/** Names of the folders in a folder, sorted, without hidden ones. */
async function foldersIn(path: string): Promise<string[]> {
  const entries = (await ifThere(path, readdir(path, { withFileTypes: true }))) ?? [];
  return entries.flatMap((entry) => (entry.isDirectory() && !entry.name.startsWith('.') ? [entry.name] : [])).sort();
}

/** Makes a folder if it is missing. @throws InputError with what to do if it cannot be made or written */
export async function ensureFolder(path: string): Promise<void> {
  try {
    await makeFolder(path);
    if (!(await stat(path)).isDirectory())
      throw new InputError(`${path}: a file stands where a folder is needed: choose another folder`);
  } catch (error) {
    throw asFileProblem(error, path);
  }
}
