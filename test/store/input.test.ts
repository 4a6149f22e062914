import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import { hashFile, readJson, writeFileAtomic } from '../../src/store/files.js';
import {
  assertInput,
  openBelow,
  openInputSync,
  readInput,
  readRegular,
  readRegularSync,
} from '../../src/store/input.js';

const rejection = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => Promise.reject(new Error('it was read')),
    (error: Error) => error,
  );

describe('files that are read', () => {
  if (process.platform === 'win32') return;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-input-'));
    await mkdir(join(folder, 'model', 'below'), { recursive: true });
    await writeFile(join(folder, 'secret'), 'secret');
    await writeFile(join(folder, 'model', 'below', 'weights'), 'weights');
    await symlink('below/weights', join(folder, 'model', 'inside'));
    await symlink('../secret', join(folder, 'model', 'outside'));
    await symlink('..', join(folder, 'model', 'up'));
    await symlink('loop', join(folder, 'model', 'loop'));
    await symlink('nothing', join(folder, 'model', 'dangling'));
    execFileSync('mkfifo', [join(folder, 'pipe'), join(folder, 'model', 'pipe')]);
  });
  after(() => rm(folder, { recursive: true }));

  it('are regular ones: nothing waits for a pipe, no device is opened, a folder is said to be one', async () => {
    const socket = createServer().listen(join(folder, 'socket'));
    await new Promise((resolve) => socket.once('listening', resolve));
    const kinds = {
      [join(folder, 'pipe')]: 'a pipe',
      [join(folder, 'socket')]: 'a socket',
      '/dev/zero': 'a device',
      [folder]: 'a folder',
    };
    for (const [path, kind] of Object.entries(kinds)) {
      const line = `${path}: this is ${kind}, not a file`;
      for (const read of [readInput, readRegular, assertInput, hashFile, readJson]) {
        expect((await rejection(read(path))).message, read.name).to.equal(line);
      }
      expect(() => readRegularSync(path)).to.throw(InputError, line);
      expect(() => openInputSync(path)).to.throw(InputError, line);
    }
    socket.close();
  });

  it('are no device or pipe when they are written', async () => {
    for (const path of ['/dev/zero', join(folder, 'pipe')]) {
      expect((await rejection(writeFileAtomic(path, 'x'))).message).to.match(/: this is a (device|pipe), not a file$/);
    }
  });

  it('are no larger than the caller allows, and that is known before they are read', async () => {
    expect(String(await readInput(join(folder, 'secret'), 6))).to.equal('secret');
    expect(String(readRegularSync(join(folder, 'secret'), 6))).to.equal('secret');
    const line = `${join(folder, 'secret')}: 6 bytes; valid: at most 5`;
    expect((await rejection(readInput(join(folder, 'secret'), 5))).message).to.equal(line);
    expect(() => readRegularSync(join(folder, 'secret'), 5)).to.throw(InputError, line);
  });

  it('are said to be missing, or what the system says of them', async () => {
    expect((await rejection(readInput(join(folder, 'no')))).message).to.equal(`${join(folder, 'no')}: no such file`);
    expect((await rejection(readInput(join(folder, 'model', 'loop')))).message).to.contain('links lead in a circle');
    expect((await rejection(readInput(join(folder, 'secret', 'x')))).message).to.contain('is a file, not a folder');
  });

  it('lie in the folder of the file that names them, after links are followed', async () => {
    const model = join(folder, 'model');
    for (const name of ['below/weights', 'inside', './below/../below/weights', 'up/model/inside']) {
      const file = await openBelow(model, name, 'the model');
      expect([name, file.size]).to.deep.equal([name, 7]);
      await file.handle.close();
    }
    const refused = [
      'outside',
      'up/secret',
      '../secret',
      'up/model/up',
      'up',
      '',
      '/etc/passwd',
      'a\0b',
      'C:\\x',
      '..\\secret',
      'pipe',
      'below',
      '.',
    ];
    for (const name of refused) {
      expect(await rejection(openBelow(model, name, 'the model')), JSON.stringify(name)).to.be.instanceOf(InputError);
    }
    expect(await rejection(openBelow(model, 'dangling', 'the model'))).to.have.property('code', 'ENOENT');
  });
});
