import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { download, recordedHash } from '../../src/checkpoints/fetch.js';
import { fetchRecords, verifyRecords } from '../../src/data/records/fetch.js';
import { loadRecords } from '../../src/data/records/layout.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';
import { verifyAll } from '../../src/run/context.js';
import { sha256 } from '../../src/store/files.js';
import { holderIn, Lock } from '../../src/store/lock.js';
import { Store } from '../../src/store/store.js';
import { fetchOptions } from '../data/smallCifar10.js';
import { filesBelow, writeTinyCheckpoint } from '../run/workplace.js';
import { type Source, startSource, whole } from './faults.js';
import { type Told, work } from './work.js';

const FLIPS = whole ? 1000 : 150;

describe(`one flipped bit in a cache, ${FLIPS} times`, function () {
  this.timeout(900_000);
  let folder: string;
  let source: Source;
  let told: Told;
  let table: string;
  let cache: string;
  const random = new Random(0, 'flips');

  before(async () => {
    source = await startSource();
    folder = await mkdtemp(join(tmpdir(), 'dgate-rot-'));
    cache = join(folder, 'sound');
    told = { folder: cache, train: 300, test: 100 };
    await writeTinyCheckpoint(join(cache, 'tiny.safetensors'));
    table = (await work(told, () => {})).stdout;
    await fetchRecords(fetchOptions(join(cache, 'small'), source.small.binaries), source.small.layout);
    const to = join(cache, 'models', 'fetched.safetensors');
    await download({ urls: [`${source.url}/tiny.safetensors`], to, progress: silent });
    await Lock.tryTake(join(cache, 'results', 'held.lock'));
  });
  after(async () => {
    await source?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Flips a random bit of a file; what is returned puts it back. */
  async function flip(path: string): Promise<() => Promise<void>> {
    const sound = await readFile(path);
    const damaged = Buffer.from(sound);
    const bit = random.below(8 * sound.length);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    await writeFile(path, damaged);
    return () => writeFile(path, sound);
  }

  it('is found on reading, whichever file it is in: manifests, shards, gates, scores, data, downloads, locks', async () => {
    const all = (await filesBelow(cache)).filter((name) => /^(results|small|models)\//.test(name));
    const kinds = new Map<string, number>();
    for (let i = 0; i < FLIPS; i++) {
      const name = all[i % all.length]!;
      const path = join(cache, name);
      const putBack = await flip(path);
      expect(await isNoticed(name), `${name}, flip ${i}`).to.equal(true);
      await putBack();
      const kind = name.replace(/^.*\.running\//, 'leases: ').replace(/[-_]?[0-9a-f]{12,}|\d+|^.*\//g, '');
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    console.log(`      ${[...kinds].map(([kind, count]) => `${kind} ${count}`).join(', ')}`);
  });

  /** What reading the file says. */
  async function isNoticed(name: string): Promise<boolean> {
    const path = join(cache, name);
    if (name.endsWith('.lock')) return holderIn(await readFile(path, 'utf8')) === undefined;
    if (name.startsWith('small/')) {
      const split = name.includes('test') ? 'test' : 'train';
      const isRead = name.endsWith('.bin');
      const reading = isRead
        ? loadRecords(join(cache, 'small'), split, source.small.layout)
        : verifyRecords(join(cache, 'small'), source.small.layout);
      return reading.then(
        () => false,
        () => true,
      );
    }
    if (name === 'models/fetched.safetensors.json') return (await recordedHash(path.slice(0, -5))) === 'damaged';
    if (name.startsWith('models/')) return !sha256(await readFile(path)).startsWith((await recordedHash(path)) ?? '');
    const [, stage, key] = name.split('/');
    const entry = (await new Store(join(cache, 'results')).list()).find(
      (one) => one.stage === stage && one.key === key,
    )!;
    return entry.names().then(
      async (names) => {
        const read = await Promise.allSettled(names.map((file) => entry.read(file)));
        return read.some(({ status }) => status === 'rejected');
      },
      () => true,
    );
  }

  it('is named by `cache verify`, whichever file of the results it is in', async () => {
    const store = new Store(join(cache, 'results'));
    expect((await verifyAll(cache, store, silent)).damaged).to.deep.equal([]);
    const names = (await filesBelow(cache)).filter((name) => /^(results|models)\//.test(name));
    for (const name of names) {
      const putBack = await flip(join(cache, name));
      const { damaged } = await verifyAll(cache, store, silent);
      expect(
        damaged.filter((line) => line.startsWith(join(cache, name))),
        name,
      ).to.have.length(1);
      expect(damaged, damaged.join('\n')).to.have.length(
        name.endsWith('fetched.safetensors.json') ? damaged.length : 1,
      );
      await putBack();
    }
  });

  it('is said by a run, which makes the file again and ends in the same table', async () => {
    const results = (await filesBelow(join(cache, 'results'))).filter((name) =>
      /safetensors$|manifest\.json$/.test(name),
    );
    for (const [index, name] of results.entries()) {
      const place = join(folder, `mended-${index}`);
      await cp(cache, place, { recursive: true });
      const path = join(place, 'results', name);
      // What was made from a file spares reading it: only what is read can be found damaged.
      const stage = name.split('/')[0]!;
      if (stage !== 'scores') await rm(join(place, 'results', 'scores'), { recursive: true });
      if (stage === 'features') await rm(join(place, 'results', 'gates'), { recursive: true });
      await flip(path);
      const lines: string[] = [];
      const { status, stdout } = await work({ ...told, folder: place }, (line) => lines.push(line));
      expect([status, stdout], lines.join('\n')).to.deep.equal([0, table]);
      const warnings = lines.filter((line) => line.startsWith('warning: '));
      expect(warnings, name).to.have.length(1);
      expect(warnings[0]).to.contain(path).and.contain('; removed, it is made again');
      await rm(place, { recursive: true });
    }
  });

  it('in a fetched checkpoint or its record is said, and it is fetched again', async () => {
    const to = join(cache, 'models', 'fetched.safetensors');
    for (const path of [to, `${to}.json`]) {
      await flip(path);
      const lines: string[] = [];
      const progress = { ...silent, warn: (line: string) => lines.push(line) };
      const again = await download({ urls: [`${source.url}/tiny.safetensors`], to, progress });
      expect(again.cached).to.equal(false);
      expect(lines).to.have.length(1);
      expect(await readFile(to)).to.deep.equal(source.checkpoint);
    }
  });
});
