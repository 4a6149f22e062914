import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...['bench', 'results/reference', 'experiments/checkpoints'].map((folder) => `${folder}/README.md`),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name.replaceAll('\\', '/')}`),
];
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8').replaceAll(/^```.*?^```/gms, '');

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

  it('has its evidence in results/reference: what else lies in results is not of a run', () => {
    const listed = spawnSync('git', ['ls-files', 'results'], { cwd: root, encoding: 'utf8' }).stdout ?? '';
    const runs = listed.split('\n').filter((path) => /^results\/[^/]+\/[^/]+\//.test(path));
    expect(runs.filter((path) => !path.startsWith('results/reference/'))).to.deep.equal([]);
  });

  it('is as npm run docs writes it: keys, commands, numbers', function () {
    this.timeout(120_000);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/docs.ts', '--check'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).to.equal(0);
  });

  it('has a README of at most 250 lines', () => {
    expect(readFileSync(join(root, 'README.md'), 'utf8').split('\n').length - 1).to.be.at.most(250);
  });
});
