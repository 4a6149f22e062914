import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { derived } from '../../scripts/verdicts.js';
import { projectRoot } from '../../src/project.js';
import { exists } from '../../src/store/files.js';

const readme = new URL('results/reference/README.md', projectRoot);

describe('results/reference/README.md (written by: dgate run all)', () => {
  before(async function () {
    if (!(await exists(fileURLToPath(readme)))) this.skip();
  });

  it('traces every number to a CSV file in its folder', async () => {
    const text = await readFile(readme, 'utf8');
    const links = [...text.matchAll(/\]\(([^)]+\.csv)\)/g)].map(([, link]) => link!);
    expect(links).not.to.be.empty;
    for (const link of new Set(links)) {
      expect(await exists(fileURLToPath(new URL(link, readme))), `results/reference/${link}`).to.equal(true);
    }
  });

  it('has the verdicts that follow from claims.csv and the CSV files of the runs, word for word', async () => {
    const { before, after } = await derived();
    expect(before, 'npx tsx scripts/verdicts.ts writes it again').to.equal(after);
  });
});
