import { expect } from 'chai';
import { sayTime } from '../../src/cli/estimates.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Experiment } from '../../src/experiment/schema.js';
import { paperExperiments } from '../../src/paper/index.js';
import { plannedStages } from '../../src/run/dry-run.js';
import { makeWorkplace, run, tinyExperiment, type Workplace, workplaceAt } from '../run/workplace.js';

describe('how long a run will take, said before it begins', () => {
  const sizes = { train: 60, test: 30 };
  let place: Workplace;
  beforeEach(async () => {
    place = await makeWorkplace(sizes);
  });
  afterEach(() => place.remove());

  const bundled = async (name: string): Promise<Experiment> => {
    const { exported, where } = await loadDefinition(name);
    return resolveExperiment(exported, where, 'laptop', [], paperExperiments);
  };
  /** What is said where the datasets are those of the registry. */
  const said = async (at: Workplace, experiments: readonly Experiment[]): Promise<string[]> => {
    const { datasets, ...context } = at.context;
    await sayTime(datasets === undefined ? at.context : context, experiments);
    return at.notes;
  };

  it('counts training images to the last gate and test images to the end, each network once', async () => {
    const [table1, table2] = [await bundled('table1'), await bundled('table2')];
    const notes = await said(place, [table1, { ...table1, name: 'again', seed: 1 }, table2]);
    expect(notes).to.have.length(1);
    // 50,000 x 375,062,528 + 10,000 x 435,900,416 and 50,000 x 307,691,520 + 10,000 x 350,763,568
    expect(notes[0]).to.match(
      /table1 .*\(23\.1 TFLOPs at \d+ GFLOPs\/s\), table2 .*\(18\.9 TFLOPs at \d+ GFLOPs\/s\);/,
    );
    expect(notes[0]).not.to.contain('again');
  });

  it('is planned where images and checkpoints are missing: the work of all features', async () => {
    const { datasets: _, ...context } = place.context;
    const stages = await plannedStages(context, await bundled('cascade'));
    expect(stages.map(({ stage }) => stage)).to.deep.equal([
      'checkpoint akamaster-resnet20-cifar10',
      'checkpoint akamaster-resnet56-cifar10',
      'images of cifar10',
      'features',
      'gates, scores',
    ]);
    // 10,000 x (81,102,080 + 250,971,392)
    expect(stages.map(({ flops }) => flops)).to.deep.equal([null, null, null, 3_320_734_720_000, null]);
  });

  it('says nothing of work that is done at once; where only images are missing, the time of features', async () => {
    await sayTime(place.context, [tinyExperiment(place)]);
    expect(place.notes).to.deep.equal([]);
    await run(place);
    const notes = await said(workplaceAt(place.folder), [await bundled('table1')]);
    expect(notes.join()).to.match(/^not in the cache: 3 stages, about [^;]+; the longest is features \(.*; --dry-run/);
  });

  it('says in one line what is left where a part is in the cache, by what such stages took before', async () => {
    await run(place);
    const { context, notes } = workplaceAt(place.folder, sizes);
    const { store } = context;
    const slow = async () =>
      (await store.list()).map((entry) => ({
        manifest: async () => {
          const manifest = (await entry.manifest())!;
          return { ...manifest, notes: { ...manifest.notes, seconds: manifest.stage === 'features' ? 90 : 5 } };
        },
      }));
    const patched = new Proxy(store, {
      get: (target, name) => (name === 'list' ? slow : Reflect.get(target, name).bind?.(target)),
    });
    const more = { ...tinyExperiment(place), testImages: 20 };
    await sayTime({ ...context, store: patched }, [more], 0);
    // 20 images of a kind of which 30 took 90 s; their scores are read from them
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(
      /^not in the cache: 2 stages, about 1 min 0 s and .* the longest is features of 20 test images \(1 min 0 s\); --dry-run lists all/,
    );
    expect(await said(workplaceAt(place.folder, sizes), [tinyExperiment(place)])).to.deep.equal([]);
  });
});
