import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readArrays } from '../../src/checkpoints/arrays.js';
import { type Storable, writeSafetensors } from '../../src/checkpoints/load.js';
import { parseCsv } from '../../src/csv.js';
import { InputError } from '../../src/errors.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { type Override, resolveExperiment } from '../../src/experiment/resolve.js';
import { paperExperiments } from '../../src/paper/index.js';
import { loadScores } from '../../src/run/given-scores.js';
import { plan } from '../../src/run/plan.js';
import { runDocument } from '../../src/run/record.js';
import { writeRun } from '../../src/run/report.js';
import { runExperiment } from '../../src/run/run.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
import { runCli } from '../cli/cli.js';
import { makeWorkplace, run, type Workplace, writeTinyCheckpoint } from './workplace.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/scores/${name}`, import.meta.url));

describe('scores of any network', () => {
  let place: Workplace;
  before(async () => {
    place = await makeWorkplace({ train: 10, test: 10 });
  });
  after(() => place.remove());

  const resolved = async (file: string, ...overrides: Override[]) => {
    const { exported, where } = await loadDefinition(file);
    return resolveExperiment(exported, where, 'laptop', overrides, paperExperiments);
  };
  const rowsOf = async (file: string, ...overrides: Override[]) => {
    const outcome = await runExperiment(place.context, await resolved(file, ...overrides));
    return { outcome, rows: runDocument(outcome, 'laptop').rows };
  };

  it('gives the same rows by logits as PyTorch wrote them, and by the classes and confidences it made of them', async () => {
    const [npz, csv] = [await rowsOf(fixture('two-exits.npz')), await rowsOf(fixture('two-exits.csv'))];
    expect(npz.rows.map(({ margin }) => margin)).to.deep.equal([0, 0.005, 0.01, 0.02, null, null]);
    expect(csv.rows.map(({ exits, accuracy }) => [exits, accuracy])).to.deep.equal(
      npz.rows.map(({ exits, accuracy }) => [exits, accuracy]),
    );
    expect(npz.rows.every(({ intervals }) => intervals !== null)).to.equal(true);
    const frontier = npz.outcome.findings.tables.find(({ name }) => name === 'frontier');
    expect(frontier?.legend).to.match(/; all 2 folds together with 90 % confidence$/);
    expect(place.notes.concat(place.warnings)).to.deep.equal([]); // nothing extracted, nothing cached
  });

  it('applies the file as Algorithm 1 does, with any confidence', async () => {
    const { scores, costs, classes } = await loadScores(fixture('branchy.safetensors'), 'entropy');
    expect([scores.count, classes, costs.length]).to.deep.equal([600, 10, 3]);
    const fixed = [-0.5, -0.25];
    const { rows } = await rowsOf(
      fixture('branchy.safetensors'),
      { path: 'network.confidence', value: 'entropy' },
      { path: 'thresholds.fixed', value: [fixed] },
    );
    const { accuracy, flops } = evaluate(scores, fixed, costs);
    expect(rows.at(-2)).to.deep.include({ accuracy, flops });
    expect(accuracy).to.be.within(0.8, 0.97);
  });

  it('holds confidences against thresholds as the file has them: neither rounded to single precision, nor infinite', async () => {
    const file = join(place.folder, 'doubles.csv');
    const sure = [0.1, 0.6, 0.6, 0.7, 0.7, 0.9, 1 - 1e-12, 1e39];
    const lines = sure.flatMap((confidence, i) => Array(4).fill(`0,${i === 0 ? 1 : 0},${confidence},1,0,3`));
    await writeFile(
      file,
      ['label,exit1_class,exit1_confidence,exit1_cost,exit2_class,exit2_cost', ...lines].join('\n'),
    );
    const fixed = [...sure, 1, Number.POSITIVE_INFINITY].map((threshold) => [threshold]);
    const { rows } = await rowsOf(file, { path: 'thresholds.fixed', value: fixed });
    expect(rows[0]!.thresholds).to.deep.equal([[0.6], [0.6]]);
    const leaving = rows
      .filter(({ margin, guarantee }) => margin === null && guarantee === null)
      .map((row) => row.exits[0]!);
    expect(leaving.map((share) => 8 * share)).to.deep.equal([8, 7, 7, 5, 5, 3, 2, 1, 1, 0, 0]);
  });

  it('chooses on other images where there are some, and shows what it rests on', async () => {
    const { outcome } = await rowsOf(fixture('two-exits.npz'), {
      path: 'network.choosing',
      value: fixture('two-exits.csv'),
    });
    expect(outcome.splits.validation).to.match(/^600 images of .*two-exits\.csv$/);
    expect(outcome.rows[0]!.thresholds).to.have.length(1);
    const folder = await writeRun(outcome, 'laptop', place.context.resultsRoot);
    expect(folder).to.match(/scores-two-exits\/laptop-[0-9a-f]{8}$/);
  });

  it('logs what happened to each image, as the table counts it', async () => {
    const { outcome, rows } = await rowsOf(fixture('branchy.safetensors'));
    const folder = await writeRun(outcome, 'laptop', place.context.resultsRoot, { logImages: true });
    const images = parseCsv(await readFile(join(folder, 'images.csv'), 'utf8'), 'images.csv');
    expect(images.map(({ position }) => Number(position))).to.deep.equal(Array.from({ length: 600 }, (_, i) => i));
    for (const [i, row] of rows.slice(0, -1).entries()) {
      const right = images.filter((image) => image[`row${i + 1}_right`] === 'true');
      expect(right.length / 600).to.equal(row.accuracy);
      const first = images.filter((image) => image[`row${i + 1}_exit`] === '1');
      expect(first.length / 600).to.equal(row.exits[0]);
      for (const image of right) expect(image[`exit${image[`row${i + 1}_exit`]}_class`]).to.equal(image['label']);
    }
    const again = await writeRun(outcome, 'laptop', place.context.resultsRoot, { logImages: 'as before' });
    expect(parseCsv(await readFile(join(again, 'images.csv'), 'utf8'), 'images.csv')).to.have.length(600);
    const without = await writeRun(outcome, 'laptop', place.context.resultsRoot);
    await writeRun(outcome, 'laptop', place.context.resultsRoot, { logImages: 'as before' });
    expect(existsSync(join(without, 'images.csv'))).to.equal(false);
  });

  for (const kind of ['held-out', 'cross-fit'] as const) {
    it(`a run leaves its scores as a file, which give its rows again without network and images: ${kind}`, async () => {
      const own = await makeWorkplace({ train: 300, test: 100 });
      try {
        await writeTinyCheckpoint(own.checkpoint, { heldOut: Array.from({ length: 100 }, (_, i) => 3 * i) });
        const { outcome } = await run(own, { path: 'thresholds.validation', value: { kind } });
        const folder = await writeRun(outcome, 'laptop', own.context.resultsRoot, { logImages: true });
        const chosen = join(folder, 'scores-choosing.safetensors');
        expect(existsSync(chosen)).to.equal(kind === 'held-out');
        const again = await rowsOf(
          join(folder, 'scores.safetensors'),
          ...(kind === 'held-out' ? [{ path: 'network.choosing', value: chosen }] : []),
          { path: 'thresholds', value: outcome.experiment.thresholds },
          { path: 'seed', value: outcome.experiment.seed },
        );
        const facts = ({ thresholds, accuracy, flops, exits, intervals }: (typeof again.rows)[number]) => [
          thresholds,
          accuracy,
          flops,
          exits,
          intervals,
        ];
        expect(again.rows.length).to.be.above(1);
        const asked = again.rows.filter(({ guarantee }) => guarantee === null); // a promise is of that definition
        expect(asked.map(facts)).to.deep.equal(runDocument(outcome, 'laptop').rows.map(facts));
        const without = await writeRun(outcome, 'laptop', own.context.resultsRoot);
        expect(existsSync(join(without, 'scores.safetensors'))).to.equal(false);
      } finally {
        await own.remove();
      }
    });
  }

  it('a run with confidences fitted to each part leaves no scores, which would give other rows', async () => {
    const own = await makeWorkplace({ train: 300, test: 100 });
    try {
      await writeTinyCheckpoint(own.checkpoint);
      const { outcome } = await run(own, { path: 'gates.confidence', value: 'failure' });
      const folder = await writeRun(outcome, 'laptop', own.context.resultsRoot, { logImages: true });
      expect(existsSync(join(folder, 'images.csv'))).to.equal(true);
      expect(existsSync(join(folder, 'scores.safetensors'))).to.equal(false);
    } finally {
      await own.remove();
    }
  });

  it('images.csv opens in pandas (needs python3 with pandas)', async function () {
    if (spawnSync('python3', ['-c', 'import pandas']).status !== 0) return this.skip();
    const { outcome } = await rowsOf(fixture('branchy.safetensors'));
    const folder = await writeRun(outcome, 'laptop', place.context.resultsRoot, { logImages: true });
    const script =
      'import pandas, sys; d = pandas.read_csv(sys.argv[1]); print(d.shape[0], d.row1_right.dtype, d.exit1_confidence.dtype)';
    const read = spawnSync('python3', ['-c', script, join(folder, 'images.csv')], { encoding: 'utf8' });
    expect(read.stdout.trim(), read.stderr).to.equal('600 bool float64');
  });

  it('refuses what does not fit: all of it, before anything runs', async () => {
    const problems = async (...overrides: Override[]): Promise<string> =>
      resolved(fixture('branchy.safetensors'), ...overrides)
        .then(plan)
        .then(
          () => 'nothing',
          (error: unknown) => (error as InputError).problems?.join('\n') ?? String(error),
        );
    expect(await problems({ path: 'thresholds.fixed', value: [[1], [0, 0]] })).to.match(
      /^thresholds\.fixed\.0: \[1\]; valid: 2 thresholds, .* has 3 exits$/,
    );
    expect(await problems({ path: 'gates', value: { after: [1, 2] } })).to.match(/gates: .*left out: exits and costs/);
    expect(await problems({ path: 'testImages', value: 10 })).to.match(/testImages: 10; valid: left out/);
    expect(await problems({ path: 'thresholds.validation.kind', value: 'held-out' })).to.match(/\{ choosing \}/);
    expect(await problems({ path: 'analysis', value: { kind: 'thresholdPlane' } })).to.match(/frontier/);
    expect(await problems({ path: 'network.choosing', value: fixture('two-exits.npz') })).to.match(
      /two-exits\.npz: 10 classes, costs .*; valid: those of /,
    );
  });

  describe('in a bad file', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'dgate-scores-'));
    });
    after(() => rm(folder, { recursive: true, force: true }));

    const good = 'label,exit1_class,exit1_confidence,exit1_cost,exit2_class,exit2_cost\n0,0,0.5,1,0,3\n1,0,0.5,1,1,3\n';
    const problemsOf = async (path: string): Promise<readonly string[]> => {
      const error: unknown = await loadScores(path).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error === undefined) return [];
      expect(error).to.be.instanceOf(InputError);
      return (error as InputError).problems.map((problem) => problem.replaceAll(folder, ''));
    };
    const csv = async (text: string): Promise<readonly string[]> => {
      await writeFile(join(folder, 's.csv'), text);
      return problemsOf(join(folder, 's.csv'));
    };
    const tensors = async (arrays: Record<string, readonly [shape: number[], data: number[]]>) => {
      const all = Object.entries(arrays).map(([name, [shape, data]]): [string, Storable] => {
        return [name, { shape, data: Float32Array.from(data) }];
      });
      await writeSafetensors(join(folder, 's.safetensors'), new Map(all));
      return problemsOf(join(folder, 's.safetensors'));
    };

    it('a table: every problem has its line', async () => {
      expect(await csv(good)).to.deep.equal([]);
      expect(await csv(`\uFEFF${good.replaceAll('\n', '\r\n')}\r\n`)).to.deep.equal([]);
      expect(await csv(good.replaceAll(/[^,\n]+/g, '"$&"'))).to.deep.equal([]);
      for (const separator of [';', '\t']) expect(await csv(good.replaceAll(',', separator))).to.deep.equal([]);
      expect(await csv(good.replace('0,0,0.5', '7,0.5,').replace('0,3\n1', '0,3\n-1'))).to.deep.equal([
        '/s.csv: exit1_class: image 0: 0.5; valid: a class, a whole number from 0 to 999999',
        '/s.csv: exit1_confidence: image 0: NaN; valid: a finite number',
        '/s.csv: labels: image 1: -1; valid: a class, 0 to 7',
      ]);
      expect(await csv(good.replace('0.5,1,1,3', '0.5,1,1,2'))).to.deep.equal([
        '/s.csv: exit2_cost: image 1: 2; valid: 3, as of image 0: the same in every row',
      ]);
      const withOriginal = (cost: (row: number) => string): string =>
        good
          .trim()
          .split('\n')
          .map((line, i) => `${line},${i === 0 ? 'original_cost' : cost(i)}`)
          .join('\n');
      expect(await csv(withOriginal(() => '2'))).to.deep.equal([]);
      expect(await csv(withOriginal(() => '0'))).to.deep.equal(['/s.csv: original_cost: 0; valid: above 0']);
      expect((await csv(withOriginal(String)))[0]).to.match(/original_cost: image 1: 2; valid: 1, as of image 0/);
      expect(await csv(good.replaceAll(',3\n', ',1\n'))).to.deep.equal([
        '/s.csv: costs: 1, 1; valid: above 0, each exit dearer than the one before',
      ]);
      expect(await csv(good.replace('\n1,', '\n1,1,'))).to.match(/row 2: 7 cells; valid: 6, one number a column/);
      expect((await csv(good.replace('exit2_class', 'answer')))[0]).to.match(/1 exits; valid: 2 to 1000/);
      expect((await csv(''))[0]).to.match(/labels: missing/);
    });

    it('tensors: shapes, classes and numbers', async () => {
      const logits = [
        [2, 2, 3],
        [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0],
      ] as [number[], number[]];
      const labels = [[2], [0, 1]] as [number[], number[]];
      const costs = [[2], [1, 2]] as [number[], number[]];
      expect(await tensors({ logits, labels, costs })).to.deep.equal([]);
      expect(await tensors({ logits: [[2, 6], logits[1]], labels, costs })).to.match(
        /valid: \[exits, images, classes\]/,
      );
      expect(await tensors({ logits, labels: [[3], [0, 1, 3]], costs: [[3], [1, 2, 3]] })).to.deep.equal([
        '/s.safetensors: exit1: logits of shape [2, 3]; valid: [3, classes]',
        '/s.safetensors: exit2: logits of shape [2, 3]; valid: [3, classes]',
        '/s.safetensors: costs: shape [3]; valid: [2]',
      ]);
      expect(
        await tensors({ logits: [logits[0], logits[1].with(7, Number.NaN)], labels: [[2], [0, 3]], costs }),
      ).to.deep.equal([
        '/s.safetensors: exit2: image 0: logit NaN; valid: finite',
        '/s.safetensors: labels: image 1: 3; valid: a class, 0 to 2',
      ]);
      expect((await tensors({ logits, labels }))[0]).to.match(/costs: missing, it has logits, labels; valid: /);
    });

    it('NumPy archives: what is no array of numbers', async () => {
      expect((await readArrays(fixture('two-exits.npz'))).arrays.get('logits')).to.deep.include({
        dtype: 'F16',
        shape: [2, 600, 10],
      });
      await writeFile(join(folder, 's.npz'), 'PK\u0003\u0004 but no more');
      expect(await problemsOf(join(folder, 's.npz'))).to.match(/damaged or truncated zip archive/);
      await writeFile(join(folder, 's.h5'), '');
      expect(await problemsOf(join(folder, 's.h5'))).to.match(/valid: \.npz, \.safetensors, \.csv/);
      expect(await problemsOf(join(folder, 'none.npz'))).to.match(/none\.npz: no such file/);
    });

    it('on the command line: a line for each problem, and status 2', async () => {
      await writeFile(join(folder, 'cli.csv'), good.replace('0,0,0.5', '7,0.5,'));
      const { status, stdout, stderr } = await runCli(['run', '--scores', 'cli.csv'], { cwd: folder });
      expect([status, stdout]).to.deep.equal([2, '']);
      const lines = stderr.trim().split('\n');
      expect(lines).to.have.length(2);
      for (const line of lines) expect(line.split('cli.csv'), line).to.have.length(2); // the file is named once
    });
  });

  it('runs from the command line without a cache, an engine or images', async () => {
    const args = ['run', '--scores', fixture('two-exits.npz'), '--json', '--cache', place.folder];
    const { status, stdout, stderr } = await runCli([...args, '--results', join(place.folder, 'r')]);
    expect(status).to.equal(0);
    expect(stderr).not.to.match(/features|engine|fetch/);
    expect(JSON.parse(stdout)).to.deep.include({ experiment: 'scores-two-exits' });
  });
});
