import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { abandonedIn } from '../../src/store/sweep.js';
import { inFolder } from '../checkpoints/helpers.js';

describe('temporary files of another machine', () => {
  it('are abandoned once they have not changed for a day', () =>
    inFolder(async (folder) => {
      const aged = async (name: string, hours: number): Promise<string> => {
        const path = join(folder, `${name}.0123456789ab-1-01234567.tmp`);
        await writeFile(path, '');
        const then = new Date(Date.now() - hours * 3_600_000);
        await utimes(path, then, then);
        return path;
      };
      await aged('young', 23);
      const old = await aged('old', 25);
      expect(await abandonedIn(folder)).to.deep.equal([old]);
    }));
});
