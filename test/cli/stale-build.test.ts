import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { staleBuild } from '../../src/cli/stale-build.js';

describe('a build that is older than its sources', () => {
  let root: string;
  const file = async (path: string, second: number): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), '');
    await utimes(join(root, path), second, second);
  };
  const compiled = (): string => join(root, 'dist', 'src', 'cli', 'stale-build.js');
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'dgate-stale-'));
    await file('dist/bin/dgate.js', 1000);
    await file('src/onnx/builder.ts', 900);
    await file('bin/dgate.ts', 900);
  });
  afterEach(() => rm(root, { recursive: true }));

  it('is named with a file that has changed since', async () => {
    expect(await staleBuild(root, compiled())).to.equal(undefined);
    await file('src/onnx/builder.ts', 1001);
    expect(await staleBuild(root, compiled())).to.match(
      /^dist\/ is older than src\/onnx\/builder\.ts: .*npm run build$/,
    );
  });

  it('is no matter where the sources run themselves, for other files, or in a package without sources', async () => {
    await file('src/onnx/builder.ts', 1001);
    expect(await staleBuild(root, join(root, 'src', 'cli', 'stale-build.ts'))).to.equal(undefined);
    await file('src/onnx/builder.ts', 900);
    await file('src/onnx/notes.md', 1001);
    await file('test/onnx.test.ts', 1001);
    expect(await staleBuild(root, compiled())).to.equal(undefined);
    await rm(join(root, 'src'), { recursive: true });
    expect(await staleBuild(root, compiled())).to.equal(undefined);
  });

  it('says nothing of this checkout, whose sources the tests run', async () => {
    expect(await staleBuild()).to.equal(undefined);
  });
});
