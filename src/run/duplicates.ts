import { silent } from '../progress.js';
import { codeOf } from '../store/code.js';
import { sha256 } from '../store/files.js';
import { makeAll } from '../store/store.js';
import type { RunContext } from './context.js';
import type { FeatureSet } from './features.js';
import { mapSplits } from './images.js';
import type { SplitFeatures } from './score.js';

const FILE = 'duplicates.json';

/** An output with fewer different values (a softmax that is sure, two classes) may be the same for different images. */
const LEAST_VALUES = 8;

/** Positions of duplicates among the features of a split: `test images among the training images`. */
export type Duplicates = Readonly<Record<string, readonly number[]>>;

/**
 * Images of an earlier split in a later one, and images that occur twice among the test images: results on them are not of new
 * images. They are found by equal features at the first gate, or equal logits where both splits have no gate. Computed once, then
 * cached. Undefined where features are no longer there.
 */
export async function findDuplicates(
  { store, progress }: RunContext,
  features: SplitFeatures,
): Promise<Duplicates | undefined> {
  const sets: [label: string, set: FeatureSet][] = [];
  await mapSplits(features, (set, label) => void sets.push([label, set]));
  const entry = store.entry('duplicates', {
    sets: sets.map(([, { entry }]) => entry.key),
    code: codeOf('run/duplicates'),
  });
  const isThere = await Promise.all(sets.map(([, set]) => set.entry.isComplete()));
  if (!(await entry.isComplete()) && isThere.includes(false)) return undefined;
  const make = async (): Promise<void> => {
    const total = sets.reduce((sum, [, { count }]) => sum + count, 0);
    // Only many images take long enough for a progress line.
    const task = (total > 200_000 ? progress : silent).begin('duplicate images', total, 'images');
    await entry.write(FILE, [Buffer.from(JSON.stringify(await compareSplits(sets, (done) => task.update(done))))]);
    task.end();
    await entry.finish({});
  };
  await makeAll(silent, [{ entry, label: 'duplicate images', make }]);
  return JSON.parse((await entry.read(FILE)).toString('utf8')) as Duplicates;
}

async function compareSplits(
  sets: readonly (readonly [label: string, set: FeatureSet])[],
  onDone: (images: number) => void,
): Promise<Duplicates> {
  let before = 0;
  const found: [what: string, position: number][] = [];
  const earlier: [label: string, keys: ReadonlySet<string>][] = [];
  for (const [label, set] of sets) {
    const keys = new Set<string>();
    for await (const [position, key] of keysOf(set)) {
      for (const [other, known] of earlier) {
        if (known.has(key)) found.push([`${label} images among the ${other} images`, position]);
      }
      if (label === 'test' && keys.has(key)) found.push(['test images that occur twice', position]);
      keys.add(key);
      if (position % 1000 === 0) onDone(before + position);
    }
    before += set.count;
    earlier.push([label, keys]);
  }
  const kinds = [...new Set(found.map(([what]) => what))];
  return Object.fromEntries(
    kinds.map((kind) => [kind, found.flatMap(([what, position]) => (what === kind ? [position] : []))]),
  );
}

/** A key for each image; none for an output that other images may have, too. */
async function* keysOf(set: FeatureSet): AsyncGenerator<[position: number, key: string]> {
  let first = 0;
  for await (const shard of set.shards()) {
    const values = set.widths.length > 0 ? shard.features(0) : shard.logits;
    const width = values.length / shard.count;
    for (let i = 0; i < shard.count; i++) {
      const row = values.subarray(i * width, (i + 1) * width);
      if (new Set(row).size >= LEAST_VALUES)
        yield [first + i, sha256(Buffer.from(row.buffer, row.byteOffset, row.byteLength))];
    }
    first += shard.count;
  }
}
