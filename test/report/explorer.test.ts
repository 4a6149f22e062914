import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { imageSet } from '../../src/data/dataset.js';
import { Random } from '../../src/random.js';
import { drawThumbnails, type ExplorerData, explorerData, explorerScript } from '../../src/report/explorer.js';
import { renderPage } from '../../src/report/page.js';
import { evaluate, type Scores } from '../../src/thresholds/evaluate.js';
import { jointSearch } from '../../src/thresholds/methods.js';

const COUNT = 600;
const GATES = 3;
const costs = [20e6, 45e6, 80e6, 101e6];
const classNames = ['cat', 'dog', '</script><b>bird</b>'];

/** Scores with ties, a NaN, and gates that are right more often where they are sure. */
function makeScores(): Scores {
  const random = new Random(5, 'explorer test');
  const labels = Int32Array.from({ length: COUNT }, () => random.below(3));
  const answers = (right: number) => labels.map((label) => (random.uniform() < right ? label : random.below(3)));
  // Of one exit with double precision, as a file of scores may give them.
  const confidences = Array.from({ length: GATES }, (_, gate) => {
    const values = Array.from(labels, () => Math.round(random.uniform() * 400) / 100 - 1 / 3);
    return gate === 0 ? Float64Array.from(values) : Float32Array.from(values);
  });
  confidences[1]![7] = Number.NaN;
  return {
    count: COUNT,
    labels,
    original: answers(0.95),
    confidences,
    classes: [answers(0.6), answers(0.7), answers(0.8)],
  };
}

const scores = makeScores();

const images = () => {
  const pixels = new Uint8Array(COUNT * 3 * 4 * 4).map((_, i) => i % 251);
  const shape = { channels: 3, height: 4, width: 4, sha256: 'x' };
  return imageSet({ ...shape, images: pixels, labels: scores.labels, classes: classNames });
};

const makeData = async (): Promise<ExplorerData> =>
  (await explorerData(
    scores,
    images(),
    {
      exits: ['gate 1', 'gate 2', 'gate 3', 'last exit'],
      costs,
      originalFlops: 100e6,
      rows: [
        { name: 'first', thresholds: [2.5, null, 1.21] },
        { name: 'second', thresholds: [3, 2, 1] },
      ],
      command: 'dgate run mine.ts',
    },
    await drawThumbnails(images()),
  ))!;

async function makePage(explorer?: Parameters<typeof renderPage>[0]['explorer']): Promise<string> {
  const about = { title: 'T', experiment: 'mine', preset: 'laptop', command: 'c', date: '2026-11-22T21:00:00.000Z' };
  const none = { claims: [], figures: [], sheets: [], tables: [], facts: [], stages: [], definition: '' };
  return renderPage({
    ...{ ...about, ...none },
    explorer: explorer ?? { data: await makeData(), script: await explorerScript() },
  });
}

function chromium(): string | undefined {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      return name;
    } catch {
      // not this one
    }
  }
  return undefined;
}

/** The page as the browser has it once its scripts have run. */
async function opened(browser: string, page: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-explorer-'));
  try {
    const file = join(folder, 'report.html');
    await writeFile(file, page);
    const options = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${folder}/profile`];
    const args = [...options, '--virtual-time-budget=600000', '--dump-dom', `file://${file}`];
    return (await promisify(execFile)(browser, args, { maxBuffer: 1e8 })).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** No frame is drawn while Chromium skips time. */
const frames = '<script>window.requestAnimationFrame = (draw) => setTimeout(draw, 0);</script></head>';

/** Sets thresholds as a reader does, and notes what the page says. Runs in the browser. */
const driver = `
const frame = () => new Promise((done) => setTimeout(done, 1));
const numbers = [...document.querySelectorAll('.gate input[type=number]')];
const sliders = [...document.querySelectorAll('.gate input[type=range]')];
const text = (id) => document.getElementById(id).textContent;
const enter = (input, value) => { input.value = value; input.dispatchEvent(new Event('input')); };
const leaving = () => [...document.querySelectorAll('.gate output')].map((o) => parseInt(o.textContent.replace(/,/g, '')));
(async () => {
  const said = [];
  for (const row of ROWS) {
    row.forEach((t, i) => enter(numbers[i], t === null ? '' : String(t)));
    await frame();
    const byNumber = [text('explorer-result'), ...leaving()].join('|');
    sliders.forEach((slider) => enter(slider, slider.value)); // what the slider says of it
    await frame();
    said.push([byNumber, [text('explorer-result'), ...leaving()].join('|')]);
  }
  document.getElementById('explorer-lost').value = '2';
  [...document.querySelectorAll('.explorer button')][0].click();
  await frame();
  const found = [text('explorer-result'), ...leaving()].join('|');
  [...document.querySelectorAll('.explorer button')][1].click();
  const pictures = document.querySelectorAll('.thumb').length;
  const dog = document.querySelectorAll('.confusion tr').length;
  const out = document.createElement('pre');
  out.id = 'driven';
  out.textContent = JSON.stringify({ said, found, command: text('explorer-message'), pictures, dog });
  document.body.append(out);
})();`;

function saidOf(thresholds: readonly number[]): string {
  const { correct, accuracy, flops, exits } = evaluate(scores, thresholds, costs);
  const original = evaluate(
    scores,
    thresholds.map(() => Number.POSITIVE_INFINITY),
    costs,
  ).accuracy;
  const words = [
    `${(100 * accuracy).toFixed(2)} % right (${correct} of ${COUNT}), ${(100 * (original - accuracy)).toFixed(2)} points lost`,
    `${(100 * (1 - flops / 100e6)).toFixed(1)} % of the FLOPs saved (${(flops / 1e6).toPrecision(4)} MFLOPs an image)`,
    `last exit: ${exits.at(-1)}`,
  ];
  return [words.join('; '), ...exits.slice(0, -1)].join('|');
}

describe('the page on which a reader moves the thresholds', () => {
  it('holds the scores as they are, and no text of others as markup', async () => {
    const page = await makePage();
    const json = /<script type="application\/json" id="explorer-data">(.*?)<\/script>/s.exec(page)![1]!;
    const data = JSON.parse(json) as ExplorerData;
    const floats = (text: string, gate: number) =>
      new (gate === 0 ? Float64Array : Float32Array)(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
    expect(data.confidences.map(floats)).to.deep.equal(scores.confidences);
    expect(data.classNames).to.deep.equal(classNames);
    expect(page).not.to.contain('<b>bird');
    expect(data.thumbnails).to.include({ size: 32, columns: 32, every: 1 });
  });

  it('has a script of at most 60 kB', async () => {
    expect(Buffer.byteLength(await explorerScript())).to.be.below(60_000);
  });

  it('shows at most 50,000 images, evenly spaced, by their own numbers, and says so', async () => {
    const count = 120_001;
    const of = (_: unknown, i: number) => i;
    const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
    const many: Scores = {
      count,
      labels,
      original: labels,
      classes: [labels],
      confidences: [Float32Array.from(labels, of)],
    };
    const pixels = { channels: 3, height: 1, width: 1, images: new Uint8Array(3 * count), sha256: 'x' };
    const source = imageSet({ ...pixels, labels, classes: classNames });
    const about = { exits: ['gate 1', 'last exit'], costs: [1, 2], originalFlops: 2, rows: [], command: '' };
    const data = (await explorerData(many, source, about, await drawThumbnails(source)))!;
    expect([data.count, data.step]).to.deep.equal([40_001, 3]);
    const shown = new Float32Array(Uint8Array.from(Buffer.from(data.confidences[0]!, 'base64')).buffer);
    expect(shown).to.deep.equal(Float32Array.from({ length: 40_001 }, (_, i) => 3 * i));
    expect(Buffer.from(data.labels, 'base64').length).to.equal(2 * data.count);
    expect(data.thumbnails!.every).to.equal(Math.ceil(data.count / 1000));
    const page = await makePage({ data, script: '' });
    expect(page).to.contain('These are 40,001 of the images (one in 3) that the table reports on');
    const odd = { ...source, classes: Array.from({ length: 70_000 }, of).map(String) };
    expect(await explorerData(many, odd, about)).to.equal(undefined);
  });

  it('has none where there are no exits', async () => {
    const about = { exits: ['last exit'], costs: [1], originalFlops: 1, rows: [], command: '' };
    expect(await explorerData({ ...scores, classes: [], confidences: [] }, images(), about)).to.equal(undefined);
  });

  describe('in Chromium', () => {
    const browser = chromium();
    before(function () {
      if (browser !== undefined) return;
      process.stdout.write('    skipped: no chromium here (Debian: apt-get install chromium)\n');
      this.skip();
    });

    it('runs its script under its own policy', async () => {
      const dom = await opened(browser!, await makePage());
      expect(dom).to.match(/<div id="explore"[^>]*>/);
      expect(dom).not.to.match(/<div id="explore"[^>]* hidden/);
      expect(dom).to.contain('% of the FLOPs saved');
    });

    it('says at 1,000 random thresholds what the pipeline says, by number and by slider, and finds the cheapest', async () => {
      const random = new Random(6, 'thresholds');
      const near = (gate: number) => scores.confidences[gate]![random.below(COUNT)]!;
      const threshold = (gate: number): number | null => {
        const kind = random.below(10);
        if (kind === 0) return null;
        return kind < 5 && !Number.isNaN(near(gate))
          ? scores.confidences[gate]![random.below(7)]!
          : random.uniform() * 5 - 1;
      };
      const rows = Array.from({ length: 1000 }, () => [0, 1, 2].map(threshold));
      const policy = /content="default-src[^"]*"/;
      const page = (await makePage())
        .replace(policy, 'content="script-src &#39;unsafe-inline&#39;"')
        .replace('</head>', frames);
      const dom = await opened(
        browser!,
        page.replace('</body>', `<script>const ROWS=${JSON.stringify(rows)};${driver}</script></body>`),
      );
      const result = /<pre id="driven">(.*?)<\/pre>/s.exec(dom)?.[1];
      expect(result, dom.slice(-2000)).not.to.equal(undefined);
      const { said, found, command, pictures, dog } = JSON.parse(
        result!.replaceAll('&gt;', '>').replaceAll('&lt;', '<'),
      );
      expect(said).to.have.length(1000);
      rows.forEach((row, i) => {
        const right = saidOf(row.map((t) => t ?? Number.POSITIVE_INFINITY));
        expect(said[i], JSON.stringify(row)).to.deep.equal([right, right]);
      });
      const all = Int32Array.from({ length: COUNT }, (_, i) => i);
      const original = evaluate(
        scores,
        costs.slice(1).map(() => Number.POSITIVE_INFINITY),
        costs,
      ).accuracy;
      const best = jointSearch(scores, costs, all, { kind: 'accuracy', required: original - 0.02 })!;
      expect(found).to.equal(saidOf(best.thresholds));
      expect(command).to.match(/^dgate run mine\.ts --set "thresholds\.fixed=\[\[((-?[\d.]+|Infinity),?){3}\]\]"$/);
      expect(pictures).to.be.greaterThan(GATES * 8);
      expect(dog).to.equal(1 + classNames.length);
    });
  });
});
