import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { takeCheckpoint } from '../../src/checkpoints/fetch.js';
import { findCheckpoint, type KnownCheckpoint } from '../../src/checkpoints/known.js';
import { silent } from '../../src/progress.js';
import { sha256 } from '../../src/store/files.js';

describe('a known checkpoint that somebody brings', () => {
  let folder: string;
  const bytes = Buffer.from('weights');
  const known = {
    ...findCheckpoint('akamaster-resnet20-cifar10'),
    sizeBytes: bytes.length,
    sha256: sha256(bytes),
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-take-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const take = async (content: string | undefined, as: KnownCheckpoint = known): Promise<string> => {
    const file = join(folder, 'brought.th');
    await rm(file, { force: true });
    if (content !== undefined) await writeFile(file, content);
    return takeCheckpoint(as, file, join(folder, 'models'), silent).then(
      ({ path }) => path,
      (error: Error) => error.message,
    );
  };

  it('is refused in a line where it is another file, and nothing is left', async () => {
    expect(await take('weight')).to.match(/brought\.th: size is 6 bytes, expected 7; valid: the file that akamaster/);
    expect(await take('weighty')).to.match(/brought\.th: sha256 is .*, expected .*; valid: the file that akamaster/);
    expect(await take(undefined)).to.match(/brought\.th: no such file$/);
    expect(await take('x'.repeat(40_000_000))).to.match(/brought\.th: /);
    expect(await take('weights', findCheckpoint('dgate-resnet101-small-cifar10'))).to.match(/ships with dgate/);
    expect(await readdir(join(folder, 'models')).catch(() => [])).to.deep.equal([]);
  });

  it('is taken as if it had been fetched, also in the place of a damaged one', async () => {
    const path = await take('weights');
    expect(path).to.equal(join(folder, 'models', 'akamaster-resnet20-cifar10.th'));
    await writeFile(path, 'damage');
    expect(await take('weights')).to.equal(path);
    expect(await readFile(path, 'utf8')).to.equal('weights');
    expect(await readdir(join(folder, 'models'))).to.have.members([
      'akamaster-resnet20-cifar10.th',
      'akamaster-resnet20-cifar10.th.json',
    ]);
  });
});
