import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import { paperExperiments } from '../src/paper/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md'],
  ...['bench', 'results/reference', 'experiments/checkpoints'].map((folder) => `${folder}/README.md`),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name.replaceAll('\\', '/')}`),
];
const experiments = readdirSync(join(root, 'experiments'))
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `experiments/${name}`);
/** Options of other programs that the documentation names. */
const foreign = ['check', 'list', 'ways', 'write'];
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8').replaceAll(/^```.*?^```/gms, '');

/** Pages that scripts write whole. */
const written = ['experiment', 'commands', 'json', 'benchmarks', 'installs'].map((name) => `docs/${name}.md`);

/** A page without code, links and the marks of `npm run docs`. */
const proseOf = (text: string): string =>
  text
    .replaceAll(/^```.*?^```|<!-- table .*?<!-- \/table -->|<!--= .*?<!--\/-->|<!--.*?-->/gms, '')
    .replaceAll(/`[^`]*`|\]\([^)]*\)/g, '');

/**
 * Numbers with a unit (share, points, time, pace, size) outside code, links and the marks of `npm run docs`. Those of
 * test/fixtures/typed-numbers.json are settings, limits, sizes of files that never change, and the paper's own; what was
 * measured comes from a file below results/ (scripts/docs-numbers.ts).
 */
const typedIn = (text: string): string[] => {
  const unit = String.raw`(?:%|(?:points?|ms|s|min|seconds?|minutes?|times)\b|images/s|[GM]?FLOP(?:s|/s)|[kMG]i?B\b)`;
  const number = new RegExp(String.raw`(?<![\w.])\d[\d.,]*(?:e-?\d+)?\s?${unit}`, 'g');
  return [...proseOf(text).matchAll(number)].map(([found]) => found.replaceAll(/\s+/g, ' '));
};

const outcomes =
  'systems|rows|runs|kills|signals|inputs|draws|halves|populations|networks|files|faults|rounds|versions|images|photographs|pairs|passes|lines|tests|steps|parameters|combinations|confidences|processes';
/** Sizes of CIFAR-10, Fashion-MNIST and their splits, which nobody measures. */
const ofDatasets = /^(?:5,000 (?:training|held-out)|10,000(?: test)?|50,000 training|60,000(?: training)?) images$/;

/** Counts of what could have been measured, `12 of 200 draws`; where they may be typed: as above. */
const countsIn = (text: string): string[] => {
  const count = String.raw`(?<![\w.,-])\d[\d.,]*(?:\sof\s\d[\d.,]*)?\s(?:[a-z-]+\s){0,2}?(?:${outcomes})\b`;
  return [...proseOf(text).matchAll(new RegExp(count, 'g'))]
    .map(([found]) => found.replaceAll(/\s+/g, ' '))
    .filter((found) => !ofDatasets.test(found));
};

/** Of a page, or of the comment at the head of an experiment. */
const typedNumbersOf = (page: string): string[] => {
  const whole = readFileSync(join(root, page), 'utf8');
  const text = page.endsWith('.md') ? whole : (/^\/\*\*.*?\*\//s.exec(whole)?.[0] ?? '').replaceAll(/^ \* ?/gm, '');
  return [...new Set([...typedIn(text), ...countsIn(text)])].sort();
};

/** Sentences of more than 25 words; numbers that a mark gives are words. */
const longSentencesIn = (text: string): string[] =>
  text
    .replaceAll(/<!--.*?-->/gs, '')
    .replaceAll(/^[|#].*$/gm, '\n')
    .replaceAll(/`[^`]*`/g, 'code')
    .replaceAll(/\]\([^)]*\)/g, ']')
    .split(/\n\s*\n|\n\s*- |(?<=[.!?:;][*_)]*)\s/)
    .map((one) => one.trim().split(/\s+/))
    .filter((words) => words.length > 25)
    .map((words) => words.join(' '));

/** Anchors that GitHub gives the headings of a page. */
const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
      .replaceAll(' ', '-'),
  );

describe('the documentation', () => {
  for (const page of pages) {
    it(`${page} has links that lead somewhere`, () => {
      const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
      for (const link of links.filter((one) => !/^https?:/.test(one))) {
        const [path, anchor] = link.split('#');
        const target = path === '' ? page : join(dirname(page), path!);
        expect(existsSync(join(root, target)), `${page}: ${link}`).to.equal(true);
        if (anchor !== undefined) expect(anchorsOf(target), `${page}: ${link}`).to.include(anchor);
      }
    });
  }

  it('names no table of results that is not committed', () => {
    const { status, stdout } = spawnSync('git', ['ls-files', 'results'], { cwd: root, encoding: 'utf8' });
    const kept = new Set(stdout.split('\n'));
    for (const page of pages) {
      for (const [file] of readFileSync(join(root, page), 'utf8').matchAll(/\bresults\/[\w./-]+\.(?:csv|svg)\b/g)) {
        expect(
          status === 0 && stdout !== '' ? kept.has(file) : existsSync(join(root, file)),
          `${page}: ${file}`,
        ).to.equal(true);
      }
    }
  });

  it('can be reached from the README, page by page', () => {
    const readme = textOf('README.md');
    for (const page of pages.filter((one) => /^docs\/[^/]+\.md$/.test(one)))
      expect(readme, page).to.contain(`(${page}`);
  });

  it('has an index of all pages', () => {
    const index = textOf('docs/README.md');
    for (const page of pages.filter((one) => /^docs\/(?!README)[^/]+\.md$/.test(one)))
      expect(index, page).to.contain(`(${page.slice('docs/'.length)}`);
  });

  it('has its evidence in results/reference: what else lies in results is not of a run', () => {
    const listed = spawnSync('git', ['ls-files', 'results'], { cwd: root, encoding: 'utf8' }).stdout ?? '';
    const runs = listed.split('\n').filter((path) => /^results\/[^/]+\/[^/]+\//.test(path));
    expect(runs.filter((path) => !path.startsWith('results/reference/'))).to.deep.equal([]);
  });

  it('has no path of a machine in its evidence', () => {
    const listed = spawnSync('git', ['ls-files', 'results'], { cwd: root, encoding: 'utf8' }).stdout ?? '';
    const path = /(?:^|["' ,=])(?:\/[\w.-]+\/[\w./-]+|[A-Z]:\\\\?\w+)/m;
    expect('"file": "/data/a.npz"').to.match(path);
    const files = listed.split('\n').filter((file) => /\.(?:json|csv|md)$/.test(file) && existsSync(join(root, file)));
    expect(files.filter((file) => path.test(readFileSync(join(root, file), 'utf8')))).to.deep.equal([]);
    expect(files.length).to.be.greaterThan(50);
  });

  it('names no command and no option that is not there', () => {
    const help = readFileSync(join(root, 'docs/commands.md'), 'utf8');
    const [common = '', ...sections] = help.split(/^## dgate /m);
    const optionsIn = (text: string): string[] => [...text.matchAll(/--([a-z][a-z-]*)/g)].map(([, name]) => name!);
    const known = new Map(sections.map((text) => [/^[a-z]+/.exec(text)![0], optionsIn(common + text)]));
    known.set('completion', []);
    const all = new Set([...known.values()].flat());
    const wrong: string[] = [];
    for (const page of pages.filter((one) => one !== 'docs/commands.md')) {
      const text = readFileSync(join(root, page), 'utf8').replaceAll('\\\n', ' ');
      for (const [line, command] of text.matchAll(/\bdgate ([a-z]+)\b[^\n`|&]*/g)) {
        if (!known.has(command!)) continue; // `dgate is`, in a sentence
        const strange = optionsIn(line).filter((option) => !known.get(command!)!.includes(option));
        wrong.push(...strange.map((option) => `${page}: dgate ${command} --${option}`));
      }
      for (const [, command] of text.matchAll(/`(?:npx )?dgate ([a-z]+)[^`]*`/g)) {
        if (!known.has(command!)) wrong.push(`${page}: dgate ${command}`);
      }
      for (const [, option] of text.matchAll(/`--([a-z][a-z-]*)[^`]*`/g)) {
        if (!all.has(option!) && !foreign.includes(option!)) wrong.push(`${page}: --${option}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it('has definitions that dgate accepts', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dgate-docs-'));
    let count = 0;
    for (const page of pages) {
      const blocks = readFileSync(join(root, page), 'utf8').matchAll(/^```ts\n(.*?)^```/gms);
      for (const [, code] of blocks) {
        if (!/defineExperiment\(/.test(code!)) continue;
        const path = join(folder, `${count++}.ts`);
        await writeFile(path, code!);
        const { exported, where } = await loadDefinition(path);
        expect(() => resolveExperiment(exported, where, 'laptop', [], paperExperiments), page).not.to.throw();
      }
    }
    await rm(folder, { recursive: true });
    expect(count).to.be.above(3);
  });

  it('names files that there are', () => {
    for (const page of pages) {
      const text = readFileSync(join(root, page), 'utf8');
      for (const [path] of text.matchAll(
        /\b(?:src|test|bench|scripts|experiments|examples)\/[\w./-]+\.(?:ts|py|sh|mjs|yml)\b/g,
      )) {
        expect(existsSync(join(root, path)), `${page}: ${path}`).to.equal(true);
      }
    }
  });

  it('sets keys that there are', () => {
    const keys = readFileSync(join(root, 'docs/experiment.md'), 'utf8');
    for (const page of pages) {
      for (const [, path] of readFileSync(join(root, page), 'utf8').matchAll(/--set '?([\w.]+)=/g)) {
        const [key] = path!.split('.').slice(-1);
        expect(keys, `${page}: --set ${path}`).to.contain(`| \`${key}\` |`);
      }
    }
  });

  it('says what each column of a committed table is', () => {
    const page = textOf('docs/outputs.md');
    const words = new Set([...page.matchAll(/`([^`]+)`/g)].map(([, word]) => word!));
    const endings = [...words]
      .filter((word) => word.includes('...'))
      .map((word) => word.split('...') as [string, string]);
    const reference = join(root, 'results/reference');
    const files = readdirSync(reference, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.csv'));
    for (const file of files) {
      const [header = ''] = readFileSync(join(reference, file), 'utf8').split('\n');
      for (const column of header.split(',')) {
        const general = column
          .replace(/_(?:low|high)_(?=fraction|per_image)/, '_')
          .replace(/^given_.*_images$/, 'given_CLASS_images')
          .replace(/^t\d+(?:_fold\d+)?$/, 'tN')
          .replace(/^(leave_right_at_)(?:gate\d+|original)_(?:images|fraction)/, '$1gateN_images')
          .replace(/^(exit_?|gate)\d+/, '$1N');
        const isNamed =
          words.has(general) || endings.some(([start, end]) => general.startsWith(start) && general.endsWith(end));
        expect(isNamed, `${file}: ${column}`).to.equal(true);
      }
    }
  });

  it('quotes messages that dgate has', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
      .join('\n');
    const rows = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8').matchAll(/^\| (`.*?) \| /gm);
    for (const [, cell] of rows) {
      for (const [, message] of cell!.matchAll(/`([^`]+)`/g)) {
        for (const part of message!.split(/\b[A-Z]\b|\.\.\./)) {
          const words = part.replace(/^[ :;]+|[ :;]+$/g, '');
          if (words.length > 6) expect(sources, message).to.contain(words);
        }
      }
    }
  });

  it('types no measured number: files, settings or the paper say each', () => {
    const found = Object.fromEntries(
      [...pages, ...experiments]
        .filter((page) => /^(?:README|docs\/[^/]+)\.md$|\.ts$/.test(page) && !written.includes(page))
        .map((page): [string, string[]] => [page, typedNumbersOf(page)])
        .filter(([, numbers]) => numbers.length > 0),
    );
    expect(found).to.deep.equal(JSON.parse(readFileSync(join(root, 'test/fixtures/typed-numbers.json'), 'utf8')));
  });

  it('has what an experiment is expected to give on record, and a page that explains it', () => {
    for (const file of experiments) {
      const [, expected = ''] =
        /^ \* Expected {2}(.*?)(?:\*\/|^ \* \S)/ms.exec(readFileSync(join(root, file), 'utf8')) ?? [];
      const [record = 'no record', page = 'no page'] =
        expected.match(/results\/reference\/[a-z0-9]+|docs\/[a-z-]+\.md/g) ?? [];
      expect(existsSync(join(root, record)), `${file}: ${record}`).to.equal(true);
      expect(existsSync(join(root, page)), `${file}: ${page}`).to.equal(true);
    }
  });

  it('notices a number that is typed, and none that a file gives', () => {
    expect(typedIn('saves 12.5 %, takes 3 ms and 1,200 images/s')).to.deep.equal(['12.5 %', '3 ms', '1,200 images/s']);
    expect(countsIn('lost in 12 of 200 draws and 95 kills, of 10,000 test images')).to.deep.equal([
      '12 of 200 draws',
      '95 kills',
    ]);
    expect(typedIn('saves <!--= a.csv | all | b %.1 -->12.5<!--/--> % and `--older-than 30 s`')).to.deep.equal([]);
  });

  it('is as npm run docs writes it: keys, commands, numbers', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/docs.ts', '--check'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).to.equal(0);
  });

  it('has no sentence of more than 25 words', () => {
    const long = pages
      .filter((page) => !/decisions|^bench|^experiments|^results/.test(page) && !written.includes(page))
      .flatMap((page) => longSentencesIn(textOf(page)).map((sentence) => `${page}: ${sentence}`));
    expect(long).to.deep.equal([]);
  });

  it('has a README of at most 160 lines', () => {
    expect(readFileSync(join(root, 'README.md'), 'utf8').split('\n').length - 1).to.be.at.most(160);
  });
});
