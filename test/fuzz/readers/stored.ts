import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { givenThresholds, readBaseline, whatMoved } from '../../../src/check/measure.js';
import { entryText, withWheel } from '../../../src/engines/setup.js';
import { findTiming } from '../../../src/gated/time/files.js';
import { seal } from '../../../src/json.js';
import { parsePublished } from '../../../src/paper/published.js';
import { CorruptEntryError, Store } from '../../../src/store/store.js';
import { type MachineDescription, RECORD_VERSION } from '../../../src/timing/record.js';

import { checkState, readState, writeState } from '../../../src/training/state.js';
import { network, STEPS_PER_EPOCH, state } from '../../training/states.js';
import type { Reader } from '../fuzz.js';
import { mutated, mutatedText } from '../mutation.js';
import { scratchFolder } from '../scratch.js';
import { zipOf } from '../zip.js';

const machine: MachineDescription = {
  system: 'Linux',
  node: '20',
  processor: 'p',
  cores: 2,
  memoryBytes: 1,
  clockMhz: null,
  governor: null,
  gpus: ['a, b'],
};

/** The files of a finished entry, by name. */
async function cached(root: string): Promise<Map<string, Uint8Array>> {
  const entry = new Store(root).entry('scores', { a: 1 });
  await entry.write('x.safetensors', [Buffer.from('content')]);
  await entry.finish({ count: 3 });
  const names = await readdir(entry.directory);
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(entry.directory, name))] as const)),
  );
}

/** The text under a seal of its own where it is JSON of an object, so that what reads it behind the seal is reached. */
function sealedText(text: string): string {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? seal(value) : text;
  } catch {
    return text;
  }
}

export const storedReaders: readonly Reader[] = [
  {
    name: 'published tables',
    inputs: 10_000,
    async input() {
      const names = ['table1', 'table2', 'imagenet'];
      const seeds = await Promise.all(
        names.map((name) => readFile(new URL(`../../../results/published/${name}.csv`, import.meta.url), 'utf8')),
      );
      return mutatedText(seeds, [',', '"', '\n', '\r', 'accuracy_percent', '__proto__', '1e999', '\0']);
    },
    read(text: string) {
      for (const row of parsePublished(text, 'table.csv')) {
        if (!Number.isFinite(row.accuracy) || !Number.isFinite(row.flops)) throw new Error('a row without numbers');
      }
    },
  },
  {
    name: 'baselines',
    inputs: 5000,
    async input() {
      const seed = await readFile(new URL('../../../results/baseline/table1.csv', import.meta.url), 'utf8');
      return mutatedText(
        [seed, 'item,quantity,value,tolerance\na,b,1,0.5\n'],
        [',', '"', '\n', 'note', 'given', '1e999'],
      );
    },
    read: (() => {
      const path = join(scratchFolder(), 'x.csv');
      return async (text: string) => {
        await writeFile(path, text);
        const measures = await readBaseline(path);
        if (measures === undefined || measures.length === 0) throw new Error('a baseline without numbers');
        whatMoved(measures, measures);
        givenThresholds(measures);
      };
    })(),
  },
  {
    name: 'cache entries',
    inputs: 8000,
    async input() {
      const files = await cached(scratchFolder());
      const words = ['"files":', 'null', '"__proto__"', '"sha256":', '../../x', '"notes":', '[]'];
      const which = fc.nat(files.size - 1);
      return which.chain((at) => {
        const [name, bytes] = [...files][at]!;
        return mutated([bytes], words).map((changed) => new Map([...files, [name, changed]]));
      });
    },
    read: (() => {
      const store = new Store(scratchFolder());
      return async (files: ReadonlyMap<string, Uint8Array>) => {
        const entry = store.entry('scores', { a: 1 });
        await mkdir(entry.directory, { recursive: true });
        for (const [name, bytes] of files) await writeFile(join(entry.directory, name), bytes);
        for (const each of await store.list()) await each.usage();
        if (!(await entry.isComplete())) return;
        const content = await entry.read('x.safetensors');
        await entry.verify('x.safetensors');
        if (content.toString() !== 'content') throw new Error('other bytes were taken');
      };
    })(),
    refuses: (error) => error instanceof CorruptEntryError,
  },
  {
    name: 'records of timings',
    inputs: 5000,
    input: () =>
      mutatedText(
        [JSON.stringify({ version: RECORD_VERSION, machine, batches: [], engine: { id: 'ort-cpu' }, verified: null })],
        ['null', '[', '"gpus":3'],
      ),
    read: (() => {
      const folder = scratchFolder();
      return async (text: string) => {
        await writeFile(join(folder, 'timing.json'), sealedText(text));
        await findTiming(folder, machine, '');
      };
    })(),
  },
  {
    name: 'training states',
    inputs: 4000,
    async input() {
      const path = join(scratchFolder(), 'sound');
      await writeState(path, state);
      return mutated([await readFile(path)], ['null', '[]', '"epoch\\":', 'momentum.', '__proto__', '1e999', '-1']);
    },
    read: (() => {
      const path = join(scratchFolder(), 'x.state.safetensors');
      return async (bytes: Uint8Array) => {
        await writeFile(path, bytes);
        checkState(await readState(path), network, STEPS_PER_EPOCH, path);
      };
    })(),
  },
  {
    name: 'wheels',
    inputs: 5000,
    input: () =>
      mutated(
        [
          zipOf([
            { name: 'a/RECORD', data: Buffer.from('text'), deflate: true },
            { name: 'b', data: Buffer.alloc(9) },
          ]),
        ],
        ['PK\x01\x02', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07', '\xff\xff\xff\xff'],
      ),
    read: (() => {
      const path = join(scratchFolder(), 'x.whl');
      return async (bytes: Uint8Array) => {
        await writeFile(path, bytes);
        await withWheel(path, (wheel) => entryText(wheel, 'a/RECORD'));
      };
    })(),
  },
];
