/**
 * One stage on generated data in a process of its own, for growth.ts: node --import tsx growth-stage.ts STAGE SIZES, sizes as
 * JSON. Prints the processor's seconds of the stage and the process's peak of resident memory in bytes; what the data take to
 * make is not counted as time.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Storable } from '../../src/checkpoints/load.js';
import { Random } from '../../src/random.js';
import type { GrowthStage, Sizes } from './growth.js';

const FEATURES = 32;
/** Shares of the answers that the margins and promises of all stages may lose. */
const LOSS = 0.01;

/** Prepares a stage. @returns what is measured, which says what else must be known */
type Prepare = (sizes: Sizes, folder: string) => Promise<() => Promise<string>>;

/** Images of a class lie around a corner of its own. */
function drawn(random: Random, count: number, classes: number) {
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const corner = (label: number, f: number): number => ((label * 2654435761) >>> (f % 31)) & 1;
  const x = Float32Array.from({ length: count * FEATURES }, (_, at) => {
    return random.uniform() + 0.5 * corner(labels[Math.floor(at / FEATURES)]! + 1, at % FEATURES);
  });
  return { x, labels };
}

const train =
  (loss: 'hinge' | 'cross-entropy', solver: 'optimum' | 'sgd'): Prepare =>
  async ({ images, classes }) => {
    const [{ trainGate }, { inMemory, gateTrainer }, { silent }] = await Promise.all([
      import('../../src/gates/train.js'),
      import('../../src/run/train.js'),
      import('../../src/progress.js'),
    ]);
    const { x, labels } = drawn(new Random(1, 'growth'), images, classes);
    const [data, engine] = [inMemory(x, labels, classes), await gateTrainer.create()];
    // A gap that no gate reaches: all take the same number of passes.
    const training = { loss, solver, l2: 0.002, gap: 1e-12, epochs: 6, batchSize: 512, seed: 0 } as const;
    return async () => {
      const { gap } = await trainGate(data, training, engine, silent, 'gate');
      return `6 passes, ${FEATURES} features${gap === undefined ? '' : `, gap ${gap.toExponential(0)}`}`;
    };
  };

/** The images' features and logits in shards, then temperatures of every exit and the scores at them. */
const calibrate: Prepare = async ({ images, classes, exits }, folder) => {
  const [{ fitParts }, { FeatureSet, shardArrays }, { Store }, { encodeSafetensors }] = await Promise.all([
    import('../../src/run/score.js'),
    import('../../src/run/features.js'),
    import('../../src/store/store.js'),
    import('../../src/checkpoints/load.js'),
  ]);
  const random = new Random(2, 'growth');
  const entry = new Store(folder).entry('features', { images, classes, exits });
  const gates = Array.from({ length: exits - 1 }, (_, index) => index);
  for (let start = 0; start < images; start += 1024) {
    const count = Math.min(1024, images - start);
    const { x, labels } = drawn(random, count, classes);
    const logits = Float32Array.from({ length: count * classes }, () => random.uniform());
    await entry.write(
      `shard-${String(start).padStart(9, '0')}.safetensors`,
      encodeSafetensors(
        new Map<string, Storable>([
          ...gates.map((gate) => [shardArrays.gate(gate), { shape: [count, FEATURES], data: x }] as const),
          [shardArrays.logits, { shape: [count, classes], data: logits }] as const,
          [shardArrays.labels, { dtype: 'I32' as const, shape: [count], data: labels }] as const,
        ]),
      ),
    );
  }
  await entry.finish();
  const set = new FeatureSet(
    entry,
    images,
    classes,
    gates.map(() => FEATURES),
  );
  const weights = Float32Array.from({ length: FEATURES * classes }, () => random.uniform() - 0.5);
  const gate = { features: FEATURES, classes, weights, bias: new Float32Array(classes) };
  const labels = new Int32Array(images);
  const scores = { count: images, labels, original: labels, classes: [], confidences: [] };
  const part = { scores, images: Int32Array.from(labels.keys()) };
  return async () => {
    const all = gates.map((index) => ({ network: 0, index, load: async () => gate }));
    const parts = [{ selection: part, evaluation: part }];
    const fitting = { kind: 'softmax', temperature: true, byClass: false, withoutLabels: false } as const;
    const { fits } = await fitParts([[set, set]], all, { ...fitting, fittedOn: (images) => images }, parts);
    return `${fits.length} temperatures, ${FEATURES} features a gate`;
  };
};

async function scoresOf({ images, exits }: Sizes) {
  const { generatedScores, everyImage } = await import('../generated-scores.js');
  return { ...generatedScores(images, exits - 1), every: everyImage(images) };
}

const search =
  (method: 'sequential' | 'lookahead' | 'coordinate' | 'joint'): Prepare =>
  async (sizes) => {
    const [{ searches }, { scores, costs, every }] = await Promise.all([
      import('../../src/thresholds/methods.js'),
      scoresOf(sizes),
    ]);
    return async () => {
      const found = searches[method].on(scores, costs, every)(0.94 - LOSS);
      return `${found.filter(Number.isFinite).length} gates open`;
    };
  };

const promise: Prepare = async (sizes) => {
  const [{ certify }, { scores, costs, every }] = await Promise.all([
    import('../../src/thresholds/guarantee.js'),
    scoresOf(sizes),
  ]);
  return async () => {
    const { tested, open } = certify(scores, costs, every, { drop: LOSS, confidence: 0.95 }, 1);
    return `${tested} choices tested, ${open ? 'open' : 'closed'}`;
  };
};

/** A run on a file of scores: rows of fixed thresholds, a margin, a promise; the run itself, or what it writes. */
const run =
  (part: 'rows' | 'report'): Prepare =>
  async (sizes, folder) => {
    const [{ writeSafetensors }, { loadDefinition }, { resolveExperiment }, { paperExperiments }, { contextIn }] =
      await Promise.all([
        import('../../src/checkpoints/load.js'),
        import('../../src/experiment/load.js'),
        import('../../src/experiment/resolve.js'),
        import('../../src/paper/index.js'),
        import('../runner/generated.js'),
      ]);
    const [{ runExperiment }, { writeRun }] = await Promise.all([
      import('../../src/run/run.js'),
      import('../../src/run/report.js'),
    ]);
    const { scores, costs } = await scoresOf(sizes);
    const random = new Random(3, 'growth');
    const { count, labels, original } = scores;
    const within = (of: Int32Array): Int32Array => of.map((value, i) => (value + i) % sizes.classes);
    const vector = (data: Int32Array) => ({ dtype: 'I32' as const, shape: [count], data });
    const gates = scores.classes.flatMap((of, i) => [
      [`exit${i + 1}_class`, vector(within(of))] as const,
      [`exit${i + 1}_confidence`, { shape: [count], data: scores.confidences[i] as Float32Array }] as const,
    ]);
    const path = join(folder, 'scores.safetensors');
    await writeSafetensors(
      path,
      new Map<string, Storable>([
        ['labels', vector(within(labels))] as const,
        ['costs', { shape: [costs.length], data: Float32Array.from(costs) }] as const,
        ...gates,
        [`exit${sizes.exits}_class`, vector(within(original))] as const,
      ]),
    );
    const fixed = Array.from({ length: sizes.rows }, () => costs.slice(1).map(() => 1 + random.uniform()));
    const { exported, where } = await loadDefinition(path);
    const experiment = resolveExperiment(
      { ...(exported as object), analysis: undefined },
      where,
      'laptop',
      Object.entries({
        'thresholds.fixed': fixed,
        'thresholds.margins': [LOSS],
        'thresholds.search': ['sequential'],
      }).map(([path, value]) => ({ path, value })),
      paperExperiments,
    );
    const context = contextIn(folder);
    const doRun = () => runExperiment(context, experiment);
    if (part === 'rows') return async () => `${(await doRun()).rows.length} rows`;
    const outcome = await doRun();
    return async () => {
      const written = await writeRun(outcome, 'laptop', folder, { logImages: true });
      const megabytes = async (name: string) => `${((await stat(join(written, name))).size / 1e6).toFixed(1)} MB`;
      return `report.html ${await megabytes('report.html')}, images.csv ${await megabytes('images.csv')}`;
    };
  };

const stages: Readonly<Record<GrowthStage, Prepare>> = {
  'hinge, optimum': train('hinge', 'optimum'),
  'hinge, stochastic steps': train('hinge', 'sgd'),
  'cross-entropy': train('cross-entropy', 'optimum'),
  temperatures: calibrate,
  'sequential search': search('sequential'),
  'coordinate search': search('coordinate'),
  'lookahead search': search('lookahead'),
  'joint search': search('joint'),
  promise,
  'rows of a run': run('rows'),
  'report and page': run('report'),
};

const [stage, sizes] = process.argv.slice(2) as [GrowthStage, string];
const folder = await mkdtemp(join(tmpdir(), 'dgate-growth-'));
try {
  const work = await stages[stage](JSON.parse(sizes) as Sizes, folder);
  const before = process.cpuUsage();
  const note = await work();
  const { user, system } = process.cpuUsage(before);
  const peak = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`MEASURED ${JSON.stringify({ seconds: (user + system) / 1e6, peak, note })}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
