import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import type { Engine } from '../../../src/engines/engine.js';
import type { Override } from '../../../src/experiment/resolve.js';
import { exportGated } from '../../../src/gated/export.js';
import { type OpenGated, openGated, thresholdsByImage } from '../../../src/gated/open.js';
import {
  clearPartial,
  findTiming,
  lastExitTimes,
  type ResumableRows,
  resumableRows,
  type TimedRow,
  type TimingOptions,
  type TimingOutcome,
  withLastTiming,
  writeTiming,
} from '../../../src/gated/time/files.js';
import { plainThresholds, schedule } from '../../../src/gated/time/row.js';
import { timeGated, timeRun } from '../../../src/gated/time/time.js';

import type { GatedBatch } from '../../../src/gates/contracts.js';
import { seal } from '../../../src/json.js';
import { renderTiming, timingCsv, timingWarnings } from '../../../src/report/table.js';
import { openBasis, runDocument, runFolder } from '../../../src/run/record.js';

import { renderRun } from '../../../src/run/report.js';
import { runExperiment } from '../../../src/run/run.js';
import { exitOf } from '../../../src/thresholds/evaluate.js';
import { describeMachine } from '../../../src/timing/record.js';
import { makeWorkplace, tinyExperiment, type Workplace, writeTinyCheckpoint } from '../../run/workplace.js';
import { type FakeClock, fakeClock } from '../../timing/fakeClock.js';

const ORIGINAL_MS = 8;
const EXIT_MS = [1, 3, 8.5];

describe('timed evaluation on an engine and a clock of the test', () => {
  let workplace: Workplace;
  let opened: OpenGated;

  before(async () => {
    workplace = await makeWorkplace();
    opened = await openGated(workplace.context, tinyExperiment(workplace));
  });
  after(() => workplace.remove());

  /** An engine that knows the answers, takes a fixed time an image and exit, and records what it was given. */
  function knowing({ pass }: FakeClock, wrong: ReadonlySet<number> = new Set(), slowness = 1) {
    const { scores, test } = opened;
    const pixels = test.channels * test.height * test.width;
    const log = { open: 0, runs: [] as { network: string; images: number[]; thresholds: readonly number[] }[] };
    const byPixels = new Map<string, number>();
    const key = (input: Float32Array, i: number): string => input.subarray(i * pixels, i * pixels + 12).join();
    const positions = (input: Float32Array, count: number): number[] => {
      expect(input).to.have.length(count * pixels);
      return Array.from({ length: count }, (_, i) => byPixels.get(key(input, i))!);
    };
    const answer = (images: readonly number[], thresholds: readonly number[]): GatedBatch => {
      const exits = images.map((image) => exitOf(scores, thresholds, image));
      const classes = images.map((image, i) => (scores.classes[exits[i]!] ?? scores.original)[image]!);
      return {
        classes: Int32Array.from(classes, (predicted, i) => (wrong.has(images[i]!) ? predicted + 1 : predicted)),
        exits: Int32Array.from(exits),
        confidences: new Float32Array(images.length),
      };
    };
    const engine = {
      describe: () => ({ id: 'ort-cpu', device: 'a device', threads: 2, versions: { 'onnxruntime-node': '0.0.1' } }),
      loadFeatures: async () => {
        log.open++;
        return {
          run: async (input: Float32Array, count: number) => {
            log.runs.push({ network: 'original', images: positions(input, count), thresholds: [] });
            pass(slowness * ORIGINAL_MS * count);
            return { features: [], logits: new Float32Array(0) };
          },
          close: async () => void log.open--,
        };
      },
      loadGated: async () => {
        log.open++;
        return {
          run: async (input: Float32Array, count: number, thresholds: readonly number[]) => {
            const images = positions(input, count);
            log.runs.push({ network: 'gated', images, thresholds });
            const result = answer(images, thresholds);
            pass(slowness * result.exits.reduce((sum, exit) => sum + EXIT_MS[exit]!, 0));
            return result;
          },
          close: async () => void log.open--,
        };
      },
    } as unknown as Engine;
    const learn = async (): Promise<void> => {
      for await (const batch of schedule(opened, opened.rows[0]!, 1).prepared()) {
        if (byPixels.has(key(batch.input, 0))) return;
        byPixels.set(key(batch.input, 0), batch.images[0]!);
      }
    };
    return { engine, log, learn };
  }

  async function time(
    options: Partial<TimingOptions> = {},
    wrong?: ReadonlySet<number>,
    subject = opened,
    slowness = 1,
  ) {
    const fake = fakeClock();
    const { engine, log, learn } = knowing(fake, wrong, slowness);
    await learn();
    const asked = {
      preset: 'laptop',
      batches: [1],
      rules: 'default',
      images: 40,
      clock: fake.clock,
      rest: async () => {},
    } as const;
    return {
      ...(await timeGated(workplace.context, subject, engine, { ...asked, ...options }, { update() {} })),
      log,
    };
  }

  /** The least-squares line of the gated network's times over FLOPs, at a share of the original's. */
  function msAt(share: number, own: readonly { readonly gatedMs: number; readonly flopsShare: number }[]): number {
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [ms, flops] = [mean(own.map((one) => one.gatedMs)), mean(own.map((one) => one.flopsShare))];
    const spread = mean(own.map((one) => (one.flopsShare - flops) ** 2));
    const together = mean(own.map((one) => (one.flopsShare - flops) * (one.gatedMs - ms)));
    return ms + (spread > 0 ? (together / spread) * (share - flops) : 0);
  }

  it('finds the times, the FLOPs and the efficiency of every row', async () => {
    const { record, pairs, log } = await time();
    expect(log.open).to.equal(0);
    const [{ batch, rows, warmUp }, ...others] = record.batches as [(typeof record.batches)[0]];
    expect([batch, others.length, rows.length]).to.deep.equal([1, 0, opened.rows.length]);
    expect(warmUp).to.include({ stable: true, runs: 20 });
    expect(record.batches[0]!.exitMs).to.deep.equal(EXIT_MS);
    for (const [index, row] of rows.entries()) {
      const own = pairs.filter((pair) => pair.row === index + 1);
      expect(own).to.have.length(row.pairs);
      const gatedMs = row.exits.reduce((sum, count, exit) => sum + count * EXIT_MS[exit]!, 0);
      const share = opened.rows[index]!.evaluation.flops / opened.flops.flops;
      const reduction = 1 - share;
      expect(row.originalMs).to.deep.include({ median: ORIGINAL_MS, p90: ORIGINAL_MS });
      expect(row.gatedMs.mean).to.be.closeTo(gatedMs / row.images, 1e-9);
      expect(row.speedUp).to.be.closeTo(1 - msAt(share, own) / ORIGINAL_MS, 1e-9);
      expect(row.flopsReduction).to.be.closeTo(reduction, 1e-9);
      if (reduction > 0) expect(row.efficiency).to.be.closeTo(row.speedUp / reduction, 1e-9);
      expect(row.speedUpInterval.low).to.be.at.most(row.speedUp);
      expect(row.speedUpInterval.high).to.be.at.least(row.speedUp);
      expect(row.originalImagesPerSecond).to.be.closeTo(1000 / ORIGINAL_MS, 1e-9);
    }
  });

  it('times the first test images in their order, each fold with its own thresholds', async () => {
    const { record, pairs, log } = await time();
    const row = opened.rows.findIndex(({ thresholds }) => thresholds[0]!.join() !== thresholds[1]?.join());
    expect(row, 'the folds of one row have different thresholds').to.be.at.least(0);
    const images = pairs.filter((pair) => pair.row === row + 1).map(({ image }) => image);
    expect(images).to.deep.equal(Array.from({ length: 40 }, (_, i) => i));
    expect(record.batches[0]!.rows[row]!.rule).to.equal('40 pairs');
    const thresholdsOf = new Map<number, string>();
    for (const part of thresholdsByImage(opened, opened.rows[row]!)) {
      for (const image of part.images) thresholdsOf.set(image, part.thresholds.join());
    }
    const given = log.runs.filter(({ network }) => network === 'gated');
    const rowsThresholds = new Set(thresholdsOf.values());
    const ofRow = given.filter(({ thresholds }) => rowsThresholds.has(thresholds.join()));
    expect(ofRow.length).to.be.at.least(80); // 40 timed, each after an untimed one
    for (const run of ofRow) expect(run.thresholds.join()).to.equal(thresholdsOf.get(run.images[0]!));
  });

  it('warms both networks up with every gate closed, then takes every way out', async () => {
    const { log } = await time();
    const first = log.runs.slice(0, 40);
    expect(first.filter(({ network }) => network === 'original')).to.have.length(20);
    const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
    for (const run of first) if (run.network === 'gated') expect(run.thresholds).to.deep.equal(closed);
    const ways = log.runs.slice(40, 40 + 5 * opened.gates.length).map(({ thresholds }) => thresholds.join());
    expect([...new Set(ways)]).to.deep.equal(['-Infinity,Infinity', 'Infinity,-Infinity']);
  });

  it('divides each fold into full batches of its own images', async () => {
    const { record, pairs, log } = await time({ batches: [8] });
    const [first] = pairs;
    expect(record.batches[0]!.batch).to.equal(8);
    expect(pairs.filter(({ row }) => row === 1)).to.have.length(4); // 20 images of each fold: 2 full batches
    expect(first!.exits.reduce((a, b) => a + b)).to.equal(8);
    const timed = log.runs.filter(({ images }) => images.length === 8);
    const folds = thresholdsByImage(opened, opened.rows[0]!).map(({ images }) => new Set(images));
    for (const { images } of timed) {
      expect(images).to.deep.equal([...images].sort((a, b) => a - b));
      expect(folds.some((fold) => images.every((image) => fold.has(image)))).to.equal(true);
    }
  });

  it('chooses as many pairs as fit, and says so', async () => {
    // 16 ms of the original, about as much of the gated network and a rest of 5: more than 300 images fit into 15 s.
    const { record } = await time({ images: undefined });
    expect(record.batches[0]!.rows.map(({ rule }) => rule)).to.include('400 pairs (the fewest for an estimate)');
    const { record: large } = await time({ images: undefined, batches: [32] });
    for (const row of large.batches[0]!.rows) expect(row.pairs).to.equal(60);
  });

  it('follows the rules of MLPerf', async () => {
    const [row] = opened.rows;
    const slow = { images: undefined, rules: 'mlperf', batches: [128] } as const;
    const { record } = await time(slow, undefined, { ...opened, rows: [row!] }, 100);
    const [timed] = record.batches[0]!.rows;
    expect(timed!.rule).to.match(/^MLPerf offline/);
    expect(timed!.images).to.equal(24_576);
    expect(timed!.pairs * timed!.gatedMs.mean).to.be.at.least(600_000);
  });

  it('counts where class or exit is not what the table rests on, each image once, and warns', async () => {
    const { record } = await time({ images: undefined }, new Set([3, 7]));
    const far = { images: 300, differing: 2, nearThreshold: 0 };
    const [row] = record.batches[0]!.rows;
    expect(row!.agreement.images).to.equal(far.images);
    expect(row!.agreement.differing + row!.agreement.nearThreshold).to.equal(2);
    if (row!.agreement.differing === 2) {
      expect(timingWarnings(record).join('\n')).to.contain('class or exit of 2 of 300 images differs');
    }
    const { record: right } = await time();
    for (const { agreement } of right.batches[0]!.rows)
      expect(agreement).to.include({ differing: 0, nearThreshold: 0 });
  });

  it('compares every test image first, where that is asked for', async () => {
    const { record } = await time({ verify: true }, new Set([299]));
    expect(record.verified).to.have.length(opened.rows.length);
    for (const { images, differing, nearThreshold } of record.verified!) {
      expect([images, differing + nearThreshold]).to.deep.equal([300, 1]);
    }
    expect(workplace.notes.join('\n')).to.match(/299 of 300 images have the same class and exit/);
    expect((await time()).record.verified).to.equal(null);
  });

  describe('interrupted', () => {
    const key = { machine: 'this one' };
    const folder = (): string => join(workplace.folder, 'interrupted');
    const notes: string[] = [];
    const kept = (wanted: object = key) => resumableRows(folder(), wanted, (line) => notes.push(line));
    /** Ends like a process that is killed, after so many rows have been kept. */
    const dying = (after: number): ResumableRows => ({
      find: async () => undefined,
      async keep(batch, index, row) {
        await kept().keep(batch, index, row);
        if (index + 1 === after) throw new Error('killed');
      },
    });
    let first: TimedRow;

    before(async () => {
      expect(await time({ resume: dying(1) }).catch(String)).to.contain('killed');
      first = (await kept().find(1, 0, plainThresholds(opened.rows[0]!)))!;
      expect(first.pairs).to.have.length(40);
    });

    it('goes on after the last row, and has the times of those before', async () => {
      notes.length = 0;
      const { record, pairs } = await time({ resume: kept() }, undefined, opened, 2);
      const [row, next] = record.batches[0]!.rows;
      expect(JSON.stringify(row)).to.equal(JSON.stringify(first.timing));
      expect([row!.originalMs.median, next!.originalMs.median]).to.deep.equal([ORIGINAL_MS, 2 * ORIGINAL_MS]);
      expect(pairs.filter((pair) => pair.row === 1)).to.deep.equal(JSON.parse(JSON.stringify(first.pairs)));
      expect(notes).to.have.length(1);
      expect(notes[0]).to.match(/^batch 1, .*: timed before the interruption, \d{4}-/);
    });

    it('times again what was measured otherwise, or cannot be read, and says so', async () => {
      notes.length = 0;
      const thresholds = plainThresholds(opened.rows[0]!);
      expect(await kept({ machine: 'another' }).find(1, 0, thresholds)).to.equal(undefined);
      expect(notes.pop()).to.match(/batch1-row1\.json: measured with other options, versions or on another machine/);
      expect(await kept().find(1, 0, [[99, 99]])).to.equal(undefined);
      expect(await kept().find(32, 0, thresholds)).to.equal(undefined);
      for (const text of ['{"key": ', '{"key": {}, "timing": 3, "pairs": []}']) {
        await writeFile(join(folder(), 'timing-partial', 'repeat1-batch1-row1.json'), text);
        expect(await kept().find(1, 0, thresholds)).to.equal(undefined);
        expect(notes.pop()).to.match(/batch1-row1\.json: .*; timed again$/);
      }
    });

    it('leaves nothing behind when the timing is there', async () => {
      await clearPartial(folder());
      expect(await readdir(folder())).to.deep.equal([]);
    });
  });

  it('closes both networks where one fails', async () => {
    const fake = fakeClock();
    const { engine, log, learn } = knowing(fake);
    await learn();
    const broken = { ...engine, loadGated: () => Promise.reject(new Error('no gates here')) } as unknown as Engine;
    const options = {
      preset: 'laptop',
      batches: [1],
      rules: 'default',
      clock: fake.clock,
      rest: async () => {},
    } as const;
    const failed = await timeGated(workplace.context, opened, broken, options, { update() {} }).catch(String);
    expect(failed).to.contain('no gates here');
    expect(log.open).to.equal(0);
  });

  it('refuses images that do not fill a batch', async () => {
    const failed = await time({ images: 40, batches: [32] }).catch((error: Error) => error.message);
    expect(failed).to.equal('--batch 32: 40 test images in 2 folds do not fill a batch; valid: fewer');
  });

  describe('and its files', () => {
    let outcome: TimingOutcome;
    let folder: string;
    before(async () => {
      outcome = await time({ batches: [1, 8] });
      folder = join(workplace.folder, 'timed');
      await writeTiming(outcome, folder);
    });

    it('has every measured pair in timing-pairs.csv, as it was measured', async () => {
      const text = await readFile(join(folder, 'timing-pairs.csv'), 'utf8');
      const lines = parse(text, { columns: true }) as Record<string, string>[];
      expect(text.split('\n')[0]).to.equal(
        'repeat,batch_images,row,pair,image,turn,first,original_ms,gated_ms,exit1_images,exit2_images,exit3_images',
      );
      expect(lines).to.have.length(outcome.pairs.length);
      for (const [i, line] of lines.entries()) {
        const pair = outcome.pairs[i]!;
        expect(Number(line['original_ms'])).to.be.closeTo(ORIGINAL_MS * pair.batch, 1e-6);
        const exits = [1, 2, 3].map((exit) => Number(line[`exit${exit}_images`]));
        expect(exits).to.deep.equal([...pair.exits]);
        expect(Number(line['gated_ms'])).to.be.closeTo(
          exits.reduce((sum, count, exit) => sum + count * EXIT_MS[exit]!, 0),
          1e-6,
        );
        expect([line['batch_images'], line['row'], line['pair'], line['image'], line['first']]).to.deep.equal(
          [pair.batch, pair.row, pair.index, pair.image, pair.first].map(String),
        );
      }
      // 8 ms a run and 40 pairs: turns of 2
      expect(lines.slice(0, 5).map((line) => `${line['turn']} ${line['first']}`)).to.deep.equal([
        ...['0 original', '0 original', '1 gated', '1 gated', '2 original'],
      ]);
    });

    it('has a line for each batch size and row in timing.csv, and the table on the console', () => {
      const lines = parse(timingCsv(outcome.record), { columns: true }) as Record<string, string>[];
      expect(lines.map((line) => line['batch_images'])).to.deep.equal(['1', '1', '1', '8', '8', '8']);
      // What claims about speed are judged by (src/paper/claims.ts).
      expect(lines[0]).to.include.keys('model', 'speed_up_low_fraction', 'warnings', 'engine');
      expect(lines.map((line) => line['repeats'])).to.deep.equal(new Array(6).fill('1'));
      const [first] = outcome.record.batches[0]!.rows;
      expect(Number(lines[0]!['speed_up_fraction'])).to.equal(first!.speedUp);
      expect(Number(lines[0]!['original_p90_ms'])).to.equal(ORIGINAL_MS);
      const text = renderTiming(outcome.record);
      expect(text).to.match(
        /│ Model .*│ Batch │ t0 \(ms\) │ t \(ms\) │ .*│ Speed-up │ .*│ FLOPs Reduction │ Efficiency │/,
      );
      expect(text).to.contain('all but 0 of 120 timed images, and 0 within 1e-4');
      expect(text).to.contain('Engine      ort-cpu on a device, 2 threads');
    });

    it('is found again on this machine only', async () => {
      const machine = await describeMachine();
      const { code } = outcome.record;
      expect(await findTiming(folder, machine, code)).to.deep.equal({
        record: JSON.parse(JSON.stringify(outcome.record)),
      });
      expect(await findTiming(folder, { ...machine, clockMhz: [1, 2] }, code)).to.have.property('record');
      const other = await findTiming(folder, { ...machine, processor: 'Z80', cores: 1 }, code);
      expect(other).to.have.property('why').that.contains('timing.json: measured on another machine (');
      expect(await findTiming(join(workplace.folder, 'nowhere'), machine, code)).to.equal(undefined);
    });

    it('has the times of the exits for the same system with any thresholds, and for no other', async () => {
      const { context } = workplace;
      await writeTiming(outcome, join(context.resultsRoot, 'tiny', 'some run'));
      const timesOf = async (...change: Override[]) =>
        lastExitTimes(await openBasis(context, tinyExperiment(workplace, ...change)), context.resultsRoot);
      const margins = { path: 'thresholds', value: { margins: [0.3], latencyMs: [2] } };
      expect(await timesOf(margins, { path: 'testImages', value: 50 })).to.deep.equal(EXIT_MS);
      expect(await timesOf({ path: 'gates.confidence', value: 'softmax' })).to.equal(undefined);
      expect(await timesOf({ path: 'gates.after', value: [1] }, { path: 'thresholds.fixed', value: [] })).to.equal(
        undefined,
      );
    });

    it('fills the speeds of the table of the same run, and says where they come from', async () => {
      const run = await runExperiment(workplace.context, tinyExperiment(workplace));
      const place = runFolder(run, 'laptop', workplace.context.resultsRoot);
      expect(runDocument(await withLastTiming(workplace.context, run, 'laptop'), 'laptop').rows[0]!.speedMs).to.equal(
        null,
      );
      await writeTiming(outcome, place);
      const timed = await withLastTiming(workplace.context, run, 'laptop');
      const { rows } = runDocument(timed, 'laptop');
      const measured = outcome.record.batches[0]!.rows;
      for (const [i, row] of measured.entries()) {
        expect(rows[i]).to.include({ speedUp: row.speedUp, efficiency: row.efficiency });
        expect(rows[i]!.speedMs).to.be.closeTo((1 - row.speedUp) * ORIGINAL_MS, 1e-9); // t0 is the same in every pair here
      }
      expect(rows.at(-1)).to.include({ model: 'Original', speedMs: ORIGINAL_MS, speedUp: null, efficiency: null });
      expect(renderRun(timed, 'laptop')).to.match(/│ +Speed +│ Speed-up │ Efficiency │/);
      expect(renderRun(timed, 'laptop')).to.match(
        /\nSpeed {7}one image at a time, ort-cpu \(onnxruntime-node 0\.0\.1\)/,
      );
      expect(workplace.notes.at(-1)).to.match(/^speed: one image at a time, ort-cpu/);
    });

    it('fills none for other thresholds, and none from a file that it does not know', async () => {
      const changed = await runExperiment(
        workplace.context,
        tinyExperiment(workplace, { path: 'thresholds.fixed', value: [[9, 9]] }),
      );
      const [, , fixed] = runDocument({ ...changed, timing: outcome.record }, 'laptop').rows;
      expect([fixed!.thresholds[0], fixed!.speedMs]).to.deep.equal([[9, 9], null]);
      const other = join(workplace.folder, 'other');
      await writeTiming(outcome, other);
      await writeFile(join(other, 'timing.json'), seal({ ...outcome.record, version: 99 }));
      const { code } = outcome.record;
      const found = await findTiming(other, await describeMachine(), code);
      expect(found).to.have.property('why').that.contains('another version');
      await writeFile(join(other, 'timing.json'), 'not json');
      expect(await findTiming(other, await describeMachine(), code))
        .to.have.property('why')
        .that.contains('not as dgate wrote it');
      await writeTiming(outcome, other);
      expect(await findTiming(other, await describeMachine(), 'other'))
        .to.have.property('why')
        .that.contains('measured with other code');
    });
  });

  it('times the systems beside the rows on the engine, and measures what each takes', async () => {
    const place = await makeWorkplace({ train: 100, test: 40 });
    const [other, path] = ['resnet56-cifar10', join(place.folder, 'other')];
    await writeTinyCheckpoint(path, { network: other, mean: 0.3 });
    const overrides = [
      { path: 'baselines', value: [{ network: other, checkpoint: path }] },
      { path: 'analysis', value: { kind: 'frontier', margins: [0.05], drop: 0.4 } },
    ];
    const run = await runExperiment(place.context, tinyExperiment(place, ...overrides));
    const options = { preset: 'laptop', batches: [1], images: 4, rules: 'default', rest: async () => {} } as const;
    const { timing, findings } = await timeRun(place.context, run, options);
    const { rows } = timing!.batches[0]!;
    const names = rows.map(({ model }) => model);
    expect(names.slice(3, 6)).to.deep.equal(['cut at gate 1', 'cut at gate 2', 'Original']);
    const baseline = rows[names.findIndex((name) => name.startsWith(other))]!;
    // It reads its images by its own mean: with the original's, answers would differ from the cached ones.
    for (const { agreement, pairs } of rows)
      expect([agreement.images, agreement.differing, pairs]).to.deep.equal([4, 0, 4]);
    const exported = await exportGated(place.context, run.experiment, {
      out: join(place.folder, 'x.onnx'),
      preset: 'laptop',
    });
    expect(rows[0]!.fileBytes).to.equal(exported.bytes);
    const cut = rows[names.indexOf('cut at gate 1')]!;
    expect(cut.fileBytes).to.be.below(rows[names.indexOf('Original')]!.fileBytes!);
    expect(baseline.fileBytes).to.be.above(3.4e6); // 0.86 million parameters
    // Where a process inherits the peak of its parent, both are about 0.
    expect(baseline.peakBytes).to.be.above(baseline.fileBytes!).and.below(1e8);
    expect(cut.peakBytes).to.be.below(baseline.peakBytes!);
    for (const { columns, rows: systems } of findings.tables.filter(({ columns }) => columns.includes('speed_ms'))) {
      for (const column of ['speed_ms', 'file_bytes', 'peak_memory_bytes']) {
        for (const system of systems)
          expect(system[columns.indexOf(column)], `${system[0]} ${column}`).to.not.equal(null);
      }
    }
    const alone = await timeRun(place.context, run, { ...options, rowsOnly: true });
    expect(alone.timing!.batches[0]!.rows.map(({ model }) => model)).to.deep.equal(names.slice(0, 3));
    await place.remove();
  });
});
