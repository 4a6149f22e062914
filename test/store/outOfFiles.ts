import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { recordedHash } from '../../src/checkpoints/fetch.js';
import { messageOf } from '../../src/errors.js';
import { experimentNames } from '../../src/experiment/load.js';
import { readPublished } from '../../src/paper/published.js';
import { readJson, readSealed } from '../../src/store/files.js';
import { abandonedIn, deadLocksIn, isHeld } from '../../src/store/lock.js';
import { inUseSince, Store } from '../../src/store/store.js';

// What is read while this process can open no more files: `outOfFiles.ts FOLDER`, with a store, a lock and JSON in it.
const [folder = ''] = process.argv.slice(2);
const store = new Store(folder);
const entry = store.entry('scores', { a: 1 });
const looks: Readonly<Record<string, () => Promise<unknown>>> = {
  experimentNames,
  'a published table': () => readPublished('table1'),
  'the entries of a store': () => store.list(),
  'use of an entry': () => entry.usage(),
  'completeness of an entry': () => entry.isComplete(),
  'processes of a store': () => inUseSince(folder),
  'a lock': () => isHeld(join(folder, 'x.lock')),
  'temporary files': () => abandonedIn(folder),
  'dead locks': () => deadLocksIn(folder),
  'a record': () => readSealed(join(folder, 'x.json')),
  'a JSON file': () => readJson(join(folder, 'x.json')),
  'the record of a download': () => recordedHash(join(folder, 'x')),
};
const taken: number[] = [];
const takeAll = (): void => {
  try {
    for (;;) taken.push(openSync(process.execPath, 'r'));
  } catch {
    // That was the last.
  }
};
const found: Record<string, unknown> = {};
for (const [name, look] of Object.entries(looks)) {
  takeAll(); // others may have closed some
  found[name] = await look().then(
    (value) => ({ value }),
    (error: unknown) => messageOf(error),
  );
}
for (const file of taken) closeSync(file);
process.stdout.write(JSON.stringify(found));
