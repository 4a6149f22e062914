import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { InputError } from '../../src/errors.js';
import { assertSpace } from '../../src/store/space.js';

describe('assertSpace', () => {
  const path = join(tmpdir(), 'not-there', 'nor-this');

  it('asks the file system of the nearest folder that is there', async () => {
    await assertSpace(path, 1, 'one byte');
    const asked: string[] = [];
    const free = async (folder: string): Promise<number> => {
      asked.push(folder);
      return 1e12;
    };
    await assertSpace(path, 14e9, 'features', free);
    expect(asked).to.deep.equal([tmpdir()]);
  });

  it('says what is needed and what is free', async () => {
    const error = await assertSpace(path, 14.3e9, 'features of 1,281,167 images', async () => 5.1e9).catch((e) => e);
    expect((error as InputError).problems).to.deep.equal([
      `features of 1,281,167 images: need 14.37 GB in ${tmpdir()}, 5.10 GB are free; valid: make space, or another place (--cache)`,
    ]);
  });
});
