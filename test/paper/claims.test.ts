import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { networkByName } from '../../src/networks/catalogue.js';
import { openJudge } from '../../src/paper/claims.js';
import { printedClaims, type Records, readPublished, relations } from '../../src/paper/published.js';
import type { Claim } from '../../src/report/findings.js';
import { renderCsv } from '../../src/report/rows.js';
import { renderTable } from '../../src/report/table.js';
import { rejection } from '../data/smallCifar10.js';
import { original, row } from '../report/rows.js';

describe("the paper's claims", () => {
  it('have a source, a statement and a network', async () => {
    const claims = await printedClaims();
    expect(new Set(claims.map(({ id }) => id)).size).to.equal(claims.length);
    for (const { id, source, statement, printed, network, quantity, bound } of claims) {
      expect(id).to.match(/^[a-z0-9-]+$/);
      for (const text of [source, statement, printed]) expect(text, id).not.to.equal('');
      expect(networkByName(network).name).to.equal(network);
      expect(quantity === '', id).to.equal(Number.isNaN(bound));
    }
  });

  it('that restate a row of a table agree with it', async () => {
    for (const name of ['table1', 'table2']) {
      const rows = await readPublished(name);
      const restated = (await printedClaims()).filter(({ id, tableRow }) => id.startsWith(`${name}-`) && tableRow > 0);
      expect(restated).to.have.length(5);
      for (const { id, quantity, bound, tableRow } of restated) {
        const row = rows[tableRow - 1]!;
        if (quantity === 'flops_reduction_fraction') expect(row.flopsReduction, id).to.be.closeTo(bound, 0.003);
        else if (quantity === 'flops_factor') expect(rows.at(-1)!.flops / row.flops, id).to.be.closeTo(bound, 0.005);
        // "A 2x speed-up" is printed of a row with 55.51 %, which is 2.25 x.
        else if (id !== 'table2-factor-speed') expect(row.speedUp, id).to.be.closeTo(bound, 0.006);
      }
    }
  });

  it('are found in the text of the paper, if available', function () {
    let paper: string;
    try {
      paper = readFileSync(fileURLToPath(new URL('../../../shared/paper.txt', import.meta.url)), 'utf8').replace(
        /\s+/g,
        ' ',
      );
    } catch {
      this.skip();
    }
    for (const printed of ['43% speed-up', '44% FLOPs reduction', '39% FLOPs reduction', '1090 MFLOPs', '460 MFLOPs']) {
      expect(paper).to.contain(printed);
    }
    for (const printed of ['76.8% at 14.7 GFLOPs', '75.3% at 13.4 GFLOPs', '76.8% at 14.1 GFLOPs', '9% accuracy']) {
      expect(paper).to.contain(printed);
    }
  });

  it('have a rule: a relation and a margin where a number is compared', async () => {
    for (const { id, quantity, relation, margin } of await printedClaims()) {
      if (quantity === '') expect([relation, margin], id).to.deep.equal(['', Number.NaN]);
      else expect(relations, id).to.include(relation);
      if (quantity !== '') expect(margin, id).to.be.within(0, 0.5);
    }
  });
});

/** The judge of an experiment on rows of CSV files. */
async function judged(name: string, files: Readonly<Record<string, Records>>, change: object = {}): Promise<Claim[]> {
  const run = { preset: 'laptop', network: 'resnet101-cifar10', dataset: 'cifar10', ...change };
  return (await openJudge(name))((file) => files[file], run);
}

const textsOf = (record: object): Record<string, string> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value === null ? '' : String(value)]));

/** `[low, value, high]` as three columns. */
const ends = (stem: string, [low, value, high]: readonly [number, number, number]) => ({
  [`${stem}_fraction`]: value,
  [`${stem}_low_fraction`]: low,
  [`${stem}_high_fraction`]: high,
});

const verdictsOf = (claims: readonly Claim[]) => Object.fromEntries(claims.map(({ id, verdict }) => [id, verdict]));

describe('verdicts on Table 1', () => {
  type Triple = readonly [number, number, number];
  const row = (search: string, saved: Triple, lost: Triple, model = 'dg(0.44, 1.77, -1.30)') => {
    const change = { ...ends('flops_reduction', saved), ...ends('accuracy_drop', lost) };
    return textsOf({ model, search, margin_fraction: 0.027, published_model: '', ...change });
  };
  const timing = (speed: Triple, warnings = '', repeats = 3) =>
    textsOf({
      batch_images: 1,
      model: 'dg(0.44, 1.77, -1.30)',
      warnings,
      repeats,
      engine: 'ort-cpu',
      ...ends('speed_up', speed),
    });
  const good = row('sequential', [0.56, 0.57, 0.58], [0.02, 0.022, 0.025]);

  it('hold or fail where the whole interval lies on one side, and are undecided elsewhere', async () => {
    const verdict = async (saved: Triple, lost: Triple) =>
      verdictsOf(await judged('table1', { table: [row('sequential', saved, lost)] }))['table1-row1-sequential'];
    expect(await verdict([0.56, 0.57, 0.58], [0.02, 0.022, 0.025])).to.equal('holds');
    expect(await verdict([0.48, 0.49, 0.5], [0.02, 0.022, 0.025])).to.equal('does not hold');
    expect(await verdict([0.56, 0.57, 0.58], [0.03, 0.035, 0.04])).to.equal('does not hold');
    expect(await verdict([0.55, 0.57, 0.58], [0.02, 0.022, 0.025])).to.equal('undecided');
    expect(await verdict([0.56, 0.57, 0.58], [0.02, 0.022, 0.028])).to.equal('undecided');
    // Printed values are rounded to 0.01 %.
    expect(await verdict([0.55766, 0.57, 0.58], [0.02, 0.022, 0.02724])).to.equal('holds');
    expect(await verdict([Number.NaN, 0.57, 0.58], [0.02, 0.022, 0.025])).to.equal('undecided');
    // The interval that takes in the choice of thresholds is wider, and decides where the run has it.
    const again = { accuracy_drop_chosen_again_low_fraction: '0.01', accuracy_drop_chosen_again_high_fraction: '0.03' };
    const [chosen] = await judged('table1', { table: [{ ...good, ...again }] });
    expect(chosen).to.include({ verdict: 'undecided' });
    expect(chosen!.measured).to.contain('2.20 points [1.00, 3.00] lost');
  });

  it('judge speeds by their intervals: 54.9 [53.1, 56.7] against 55.71 is undecided', async () => {
    const verdict = async (timed: object) =>
      verdictsOf(await judged('table1', { table: [good], timing: [textsOf(timed)] }))['table1-row1-sequential-speed'];
    expect(await verdict(timing([0.5309, 0.5495, 0.5674]))).to.equal('undecided');
    expect(await verdict(timing([0.558, 0.57, 0.58]))).to.equal('holds');
    expect(await verdict(timing([0.5, 0.51, 0.52]))).to.equal('does not hold');
    expect(await verdict(timing([0.5, 0.51, 0.52], 'the machine is noisy: x'))).to.equal('cannot be checked here');
    expect(await verdict({ ...timing([0.5, 0.51, 0.52]), batch_images: 32 })).to.equal('cannot be checked here');
    const [, untimed] = await judged('table1', { table: [good] });
    expect(untimed!.why).to.match(/^the run is not timed; to time it: dgate time table1/);
    const alone = await judged('table1', { table: [good], timing: [timing([0.5, 0.51, 0.52], '', 1)] });
    expect(alone[1]!.why).to.contain('one process: the interval lacks the variation between processes');
  });

  it('are of every search of the run, of the published thresholds, and of the claims of the text', async () => {
    const fixed = {
      ...row('', [0.6, 0.61, 0.62], [0.1, 0.11, 0.12]),
      margin_fraction: '',
      published_model: 'dg(1.0, 0.6,1.5)',
    };
    const table = [good, row('joint', [0.5, 0.51, 0.52], [0, 0, 0]), fixed];
    const found = verdictsOf(await judged('table1', { table }));
    expect(found).to.include({ 'table1-row1-sequential': 'holds', 'table1-row1-joint': 'does not hold' });
    expect(found).to.include({ 'table1-row1-fixed': 'does not hold' });
    const second = row('joint', [0.436, 0.45, 0.46], [0.01, 0.012, 0.015]);
    const texts = verdictsOf(await judged('table1', { table: [{ ...second, margin_fraction: '0.017' }] }));
    expect(texts).to.include({ 'table1-abstract-flops-joint': 'holds', 'table1-factor-joint': 'undecided' });
    expect(await judged('table1', { table: [{ ...good, margin_fraction: '0.05' }] })).to.deep.equal([]);
  });

  it("judge the original network on the paper's own alone, within half a point", async () => {
    const original = (accuracy: Triple) => [
      textsOf({ model: 'Original', flops_per_image: 5e9, ...ends('accuracy', accuracy) }),
    ];
    const verdict = async (accuracy: Triple, change = {}) =>
      verdictsOf(await judged('table1', { table: original(accuracy) }, change))['table1-original'];
    expect(await verdict([0.945, 0.947, 0.949])).to.equal('holds');
    expect(await verdict([0.94, 0.947, 0.949])).to.equal('undecided');
    expect(await verdict([0.92, 0.925, 0.93])).to.equal('does not hold');
    expect(await verdict([0.945, 0.947, 0.949], { network: 'resnet20-cifar10' })).to.equal('cannot be checked here');
  });

  it('name another network, and are not drawn in preset smoke', async () => {
    const [small] = await judged('table1', { table: [good] }, { network: 'resnet20-cifar10' });
    expect(small).to.include({
      verdict: 'holds',
      why: "measured on resnet20-cifar10, not the paper's resnet101-cifar10",
    });
    const smoke = await judged('table1', { table: [good] }, { preset: 'smoke' });
    for (const { verdict } of smoke) expect(verdict).to.equal('cannot be checked here');
  });
});

describe('verdicts on the figures', () => {
  const points = (saved: readonly [number, number, number], lost: readonly [number, number, number]) => ({
    points: ['0', '2'].map((t) =>
      textsOf({ t1: t, t2: t, ...ends('flops_reduction', saved), ...ends('accuracy_drop', lost) }),
    ),
  });

  it('Figure 5: a saving of 15.6 [15.0, 16.3] is not about 20 %; a loss may be equal within 0.09 points', async () => {
    const found = verdictsOf(await judged('figure5', points([0.150019, 0.156, 0.163], [0.0002, 0.0011, 0.002])));
    expect(found).to.include({ 'figure5-saving': 'does not hold', 'figure5-no-loss': 'undecided' });
    expect(found).to.include({ 'figure5-flops': 'does not hold', 'figure5-loss': 'holds' });
    expect(found['figure5-monotone'], 'without its file').to.equal('cannot be checked here');
    const equal = verdictsOf(await judged('figure5', points([0.18, 0.2, 0.23], [-0.001, 0, 0.0009])));
    expect(equal).to.include({ 'figure5-saving': 'holds', 'figure5-no-loss': 'holds' });
  });

  it('Figure 4: better at every share, or worse at one', async () => {
    const differences = (...lows: number[]) => ({
      differences: lows.map((low, i) =>
        textsOf({
          ...{ hinge_confidence: 'max', cross_entropy_confidence: 'softmax', flops_reduction_fraction: 0.1 * (i + 1) },
          ...{
            difference_fraction: low + 0.01,
            simultaneous95_low_fraction: low,
            simultaneous95_high_fraction: low + 0.02,
          },
        }),
      ),
    });
    const verdict = async (...lows: number[]) =>
      verdictsOf(await judged('figure4', differences(...lows)))['figure4-gap-softmax'];
    expect(await verdict(0.001, 0.002)).to.equal('holds');
    expect(await verdict(0.001, -0.001)).to.equal('undecided');
    expect(await verdict(0.001, -0.03)).to.equal('does not hold');
  });

  it('a claim about ImageNet is judged on ImageNet alone, with images of every class', async () => {
    const classes = (images: number) => ({
      classes: Array.from({ length: 10 }, (_, i) =>
        textsOf({
          class: `c${i}`,
          images,
          leave_right_at_gate1_images: i === 0 ? 70 : 20,
          leave_right_at_gate2_images: 0,
        }),
      ),
    });
    const on = { network: 'resnet101-imagenet', dataset: 'imagenet' };
    const verdict = async (files: { classes: Records }, change: object) =>
      verdictsOf(await judged('figure6', files, change))['figure6-early'];
    expect(await verdict(classes(100), on)).to.equal('holds');
    expect(await verdict(classes(120), on), 'one of ten classes, by chance').to.equal('undecided');
    expect(await verdict(classes(1000), on)).to.equal('does not hold');
    expect(await verdict(classes(100), {})).to.equal('cannot be checked here');
    const few = {
      classes: [...classes(100).classes, textsOf({ class: 'none', images: 0, leave_right_at_gate1_images: 0 })],
    };
    expect(await verdict(few, on)).to.equal('cannot be checked here');
  });
});

describe("the paper's tables", () => {
  // Table 1's second and last rows, as printed: 92.97 % 2.82 G 43.82 % 8.18 ms 43.31 %; 94.71 % 5.02 G 14.43 ms.
  it('are read as fractions, FLOPs and milliseconds', async () => {
    const rows = await readPublished('table1');
    expect(rows).to.have.length(5);
    expect(rows[1]).to.deep.equal({
      model: 'dg(1.0, 1.8,1.5)',
      accuracy: 0.9297,
      flops: 2.82e9,
      flopsReduction: 0.4382,
      speedMs: 8.18,
      speedUp: 0.4331,
    });
    const last = {
      model: 'Original',
      accuracy: 0.9471,
      flops: 5.02e9,
      flopsReduction: null,
      speedMs: 14.43,
      speedUp: null,
    };
    expect(rows[4]).to.deep.equal(last);
    expect((await readPublished('table2'))[0]).to.include({ accuracy: 0.9221, flops: 1.5e9, speedUp: 0.6145 });
  });

  it('are consistent: reductions and speed-ups follow from the printed FLOPs and times', async () => {
    for (const name of ['table1', 'table2']) {
      const rows = await readPublished(name);
      const whole = rows.at(-1)!;
      for (const { flops, flopsReduction, speedMs, speedUp } of rows.slice(0, -1)) {
        expect(1 - flops / whole.flops).to.be.closeTo(flopsReduction!, 0.002);
        expect(1 - speedMs! / whole.speedMs!).to.be.closeTo(speedUp!, 0.0006);
      }
    }
  });

  it('are listed in the error for an unknown name', async () => {
    expect((await rejection(readPublished('table9'))).message).to.equal(
      'published: "table9"; valid: imagenet, table1, table2',
    );
  });

  it('are printed below the rows and in the CSV', async () => {
    const [first, , , , whole] = await readPublished('table1');
    const rows = [row({ margin: 0.027, published: first! }), { ...original, published: whole! }];
    const lines = renderTable(rows).split('\n');
    const cells = (text: string) =>
      lines
        .find((line) => line.includes(text))!
        .split('│')
        .map((cell) => cell.trim())
        .slice(1, -1);
    expect(cells('paper: dg(1.0, 0.6,1.5)').slice(1, 8)).to.deep.equal([
      '2.7%',
      '91.99%',
      '2.72%',
      '2.22',
      '55.77%',
      '6.39',
      '55.71%',
    ]);
    expect(cells('paper: Original').slice(1, 8)).to.deep.equal(['', '94.71%', '', '5.02', '', '14.43', '']);
    const [head, record] = renderCsv(rows).split('\n');
    expect(head).to.match(/,published_model,published_accuracy_fraction,published_flops_per_image,/);
    expect(record).to.match(/,"dg\(1\.0, 0\.6,1\.5\)",0\.9199,2220000000,0\.5577,6\.39,0\.5571$/);
    expect(renderCsv([row()]).split('\n')[0]).not.to.contain('published');
  });
});
