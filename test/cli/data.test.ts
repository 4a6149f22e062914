import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { makePlace, type Place, real, runCli } from './cli.js';

describe('dgate data verify', () => {
  let place: Place;
  beforeEach(async () => {
    place = await makePlace();
  });
  afterEach(() => place.remove());

  it('says that the cache is not there, and does not make it', async () => {
    const { status, stdout, stderr } = await runCli(['data', 'verify', 'cifar10', ...place.options]);
    expect([status, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.equal(
      `dgate: ${place.cache}: no such folder; valid: a --cache (or DGATE_CACHE) that holds data, ` +
        'or run: dgate data fetch cifar10\n',
    );
    expect(existsSync(place.cache)).to.equal(false);
  });

  it('says that there are no data in a cache', async () => {
    await mkdir(place.cache);
    const { status, stdout, stderr } = await runCli(['data', 'verify', 'cifar10', ...place.options]);
    expect([status, stdout]).to.deep.equal([2, '']);
    expect(stderr).to.equal(`dgate: ${join(place.cache, 'data')}: no CIFAR-10 here; run: dgate data fetch cifar10\n`);
    expect(existsSync(join(place.cache, 'data'))).to.equal(false);
  });

  it('--json reports every file and class (needs CIFAR-10)', async function () {
    if (!real.hasData) {
      process.stdout.write('      skipped: no CIFAR-10 in the cache; run: dgate data fetch cifar10\n');
      return void this.skip();
    }
    const own = await makePlace(real.data);
    const { status, stdout, stderr } = await runCli(['data', 'verify', 'cifar10', '--json', ...own.options]);
    await own.remove();
    expect([status, stderr]).to.deep.equal([0, '']);
    const report = JSON.parse(stdout) as { imagesPerClass: { train: number[]; test: number[] }; files: unknown[] };
    expect(report).to.include({ dataset: 'cifar10', outcome: 'present' });
    expect(report.files).to.have.length(6);
    expect(report.imagesPerClass.train).to.deep.equal(Array.from({ length: 10 }, () => 5000));
    expect(report.imagesPerClass.test).to.deep.equal(Array.from({ length: 10 }, () => 1000));
  });
});
