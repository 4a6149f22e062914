import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { staleBuild } from '../../src/cli/context.js';
import { readModules } from '../../src/store/code.js';

describe('a build that is older than its sources', () => {
  let root: string;
  const file = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  const compiled = (): string => join(root, 'dist', 'src', 'cli', 'stale-build.js');
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dgate-stale-'));
    await file('src/onnx/builder.ts', 'export const a = 1;');
    await file('bin/dgate.ts', 'a();');
    await file('dist/code.json', JSON.stringify(readModules(root)));
  });
  afterEach(() => rm(root, { recursive: true }));

  for (const [path, what] of [
    ['src/onnx/builder.ts', 'changed'],
    ['bin/dgate.ts', 'changed'],
    ['src/onnx/other.ts', 'new'],
  ] as const) {
    it(`is named with a file that is ${what} since: ${path}`, async () => {
      expect(await staleBuild(root, compiled())).to.equal(undefined);
      await file(path, 'export const a = 2;');
      expect(await staleBuild(root, compiled())).to.equal(
        `dist/ is older than ${path}: the compiled code lacks that change; run: npm run build`,
      );
    });
  }

  it('is named with a file that is gone since', async () => {
    await rm(join(root, 'bin/dgate.ts'));
    expect(await staleBuild(root, compiled())).to.contain('older than bin/dgate.ts');
  });

  it('is not claimed of files that were written later with the same content, as git and npm do', async () => {
    await utimes(join(root, 'src/onnx/builder.ts'), 4e9, 4e9);
    expect(await staleBuild(root, compiled())).to.equal(undefined);
  });

  it('is no matter where the sources run themselves, for other files, or in a package without sources', async () => {
    await file('src/onnx/notes.md', 'text');
    await file('test/onnx.test.ts', 'text');
    expect(await staleBuild(root, compiled())).to.equal(undefined);
    await file('src/onnx/builder.ts', 'export const a = 2;');
    expect(await staleBuild(root, join(root, 'src', 'cli', 'stale-build.ts'))).to.equal(undefined);
    await rm(join(root, 'src'), { recursive: true });
    expect(await staleBuild(root, compiled())).to.equal(undefined);
  });

  it('says nothing of this checkout, whose sources the tests run', async () => {
    expect(await staleBuild()).to.equal(undefined);
  });
});
