import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { asSystemProblem, InputError, ifThere, isAbsent } from '../../src/errors.js';
import { exists, namesIn, readTextIfThere } from '../../src/store/files.js';
import { Store } from '../../src/store/store.js';

const failure = (code: string): Error => Object.assign(new Error(`${code}: x`), { code });

describe('what is not there', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-absent-'));
    await writeFile(join(folder, 'file'), 'text');
  });
  after(() => rm(folder, { recursive: true }));

  it('is told from what cannot be looked at', async () => {
    for (const code of ['ENOENT', 'ENOTDIR']) {
      expect(await ifThere('p', Promise.reject(failure(code)))).to.equal(undefined);
      expect(isAbsent(asSystemProblem(failure(code), 'p'))).to.equal(true);
    }
    for (const code of ['EMFILE', 'ENFILE', 'EACCES', 'EIO', 'ELOOP', 'ESTALE', 'ENOMEM', 'EWHATEVER']) {
      const error = await ifThere('p', Promise.reject(failure(code))).catch((thrown: unknown) => thrown);
      expect(error, code).to.be.instanceOf(InputError);
      expect((error as Error).message).to.match(/^p: /);
    }
    const defect = new TypeError('x is not a function');
    expect(await ifThere('p', Promise.reject(defect)).catch((thrown: unknown) => thrown)).to.equal(defect);
  });

  it('is a missing file or folder, also below a file', async () => {
    for (const path of ['none', 'none/x', 'file/x'].map((name) => join(folder, name))) {
      expect([await exists(path), await readTextIfThere(path), await namesIn(path)]).to.deep.equal([
        false,
        undefined,
        [],
      ]);
    }
    expect(await readTextIfThere(join(folder, 'file'))).to.equal('text');
    expect(await namesIn(folder)).to.deep.equal(['file']);
  });

  it('is never reported by a process that may open no more files', async function () {
    if (process.platform !== 'linux') this.skip();
    const root = join(folder, 'store');
    const entry = new Store(root).entry('scores', { a: 1 });
    await entry.write('x.json', [Buffer.from('1')]);
    await entry.finish();
    for (const name of ['x.lock', 'x.json']) await writeFile(join(root, name), '{}');
    const script = fileURLToPath(new URL('outOfFiles.ts', import.meta.url));
    const args = ['-c', 'ulimit -n 200; exec "$@"', 'bash', process.execPath, '--import', 'tsx', script, root];
    const found = JSON.parse(execFileSync('bash', args, { encoding: 'utf8' })) as Record<string, unknown>;
    // A lock that cannot be read counts by its age.
    const { 'a lock': lock, 'dead locks': dead, ...others } = found;
    expect([lock, dead]).to.deep.include({ value: true });
    for (const [what, said] of Object.entries(others)) {
      expect(said, what).to.match(/may open no more files: raise the limit \(ulimit -n\)/);
    }
  });
});
