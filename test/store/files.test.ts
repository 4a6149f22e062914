import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { InputError } from '../../src/errors.js';
import {
  asFileProblem,
  assertSpace,
  canonicalJson,
  exists,
  hashFile,
  readJson,
  removeTemporaryFiles,
  sha256,
  writeFileAtomic,
} from '../../src/store/files.js';
import { ensureFolder } from '../../src/store/store.js';
import { inFolder } from '../checkpoints/helpers.js';
import { rejection } from '../data/smallCifar10.js';

describe('writeFileAtomic', () => {
  it('writes text, bytes and pieces one after the other, making the folder', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'a', 'b', 'file');
      await writeFileAtomic(path, 'text');
      expect(await readFile(path, 'utf8')).to.equal('text');
      await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
      expect([...(await readFile(path))]).to.deep.equal([1, 2, 3]);
      await writeFileAtomic(path, ['one ', new TextEncoder().encode('two '), 'three']);
      expect(await readFile(path, 'utf8')).to.equal('one two three');
      await writeFileAtomic(
        path,
        (async function* () {
          yield 'later ';
          await new Promise(setImmediate);
          yield 'on';
        })(),
      );
      expect(await readFile(path, 'utf8')).to.equal('later on');
      await writeFileAtomic(path, []);
      expect(await readFile(path, 'utf8')).to.equal('');
      expect(await readdir(join(folder, 'a', 'b'))).to.deep.equal(['file']);
    }));

  it('keeps the old file and leaves nothing else where the pieces fail on the way', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'file');
      await writeFileAtomic(path, 'old');
      const failing = function* (): Generator<string> {
        yield 'new';
        throw new Error('no more');
      };
      const error = await rejection(writeFileAtomic(path, failing()));
      expect(error.message).to.equal('no more');
      expect(await readdir(folder)).to.deep.equal(['file']);
      expect(await readFile(path, 'utf8')).to.equal('old');
      await rejection(writeFileAtomic(join(folder, 'never'), failing()));
      expect(await readdir(folder)).to.deep.equal(['file']);
    }));

  it('shows a reader whole files only, while it is written again and again', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'file');
      const size = 1 << 18;
      const pieces = (letter: string): Buffer[] => Array.from({ length: 8 }, () => Buffer.alloc(size / 8, letter));
      await writeFileAtomic(path, pieces('a'));
      let writing = true;
      const seen = new Set<string>();
      const read = async (): Promise<void> => {
        while (writing) {
          const content = await readFile(path, 'latin1');
          expect(content).to.have.length(size);
          expect(content === content[0]!.repeat(size), 'a file of two versions').to.equal(true);
          seen.add(content[0]!);
        }
      };
      const write = async (): Promise<void> => {
        for (const letter of 'bcdefghijklmnopqrst') await writeFileAtomic(path, pieces(letter));
        writing = false;
      };
      await Promise.all([read(), write()]);
      expect(seen.size, 'the reader came between').to.be.above(1);
    }));

  it('lets writers of one file at the same time each write a whole one', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'file');
      const contents = ['x', 'y', 'z'].map((letter) => letter.repeat(100_000));
      await Promise.all(
        contents.map((content) => writeFileAtomic(path, [content.slice(0, 50_000), content.slice(50_000)])),
      );
      expect(contents).to.include(await readFile(path, 'utf8'));
      expect(await readdir(folder)).to.deep.equal(['file']);
    }));

  it('has its temporary file removed when the process ends in the middle', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'file');
      const during: string[][] = [];
      const pieces = async function* (): AsyncGenerator<string> {
        yield 'half';
        during.push(await readdir(folder));
        removeTemporaryFiles(); // as on exit
        during.push(await readdir(folder));
      };
      await rejection(writeFileAtomic(path, pieces()));
      expect(during[0]).to.have.length(1);
      expect(during[0]![0]).to.match(/^file\..*\.tmp$/);
      expect(during[1]).to.deep.equal([]);
      await writeFileAtomic(path, 'whole');
      removeTemporaryFiles();
      expect(await readdir(folder), 'a finished file is no temporary one').to.deep.equal(['file']);
    }));

  it('leaves nothing where the process ends while many files are being made', () =>
    inFolder(async (folder) => {
      const script = fileURLToPath(new URL('exiting.ts', import.meta.url));
      execFileSync(process.execPath, ['--import', 'tsx', script, folder]);
      const left = (await readdir(folder)).filter((name) => name.endsWith('.tmp'));
      expect(left).to.deep.equal([]);
    }));

  it('says what to do where the path cannot be', () =>
    inFolder(async (folder) => {
      await writeFile(join(folder, 'plain'), '');
      const below = await rejection(writeFileAtomic(join(folder, 'plain', 'file'), 'x'));
      expect(below).to.be.instanceOf(InputError);
      expect(below.message).to.match(/plain\/file: .*choose another folder/);
      await mkdir(join(folder, 'full', 'inner'), { recursive: true });
      const onFolder = await rejection(writeFileAtomic(join(folder, 'full'), 'x'));
      expect(onFolder).to.be.instanceOf(InputError);
      expect(onFolder.message).to.contain('full: this is a folder, not a file');
      expect((await readdir(folder)).sort()).to.deep.equal(['full', 'plain']);
    }));
});

describe('asFileProblem', () => {
  const errorOf = (code: string): Error => Object.assign(new Error(`${code}: no`), { code });

  it('turns what the user can mend into one line with the path and what to do', () => {
    const advice: [string, RegExp][] = [
      ['ENOSPC', /disk is full: make space, then run the same command again/],
      ['EDQUOT', /quota .* make space/],
      ['EACCES', /permission denied: choose another folder \(--cache, --results\)/],
      ['EPERM', /not permitted: choose another folder/],
      ['EROFS', /read-only: choose another folder/],
      ['ENOTDIR', /is a file, not a folder/],
      ['EISDIR', /is a folder, not a file/],
      ['EEXIST', /a file stands where a folder is needed/],
    ];
    for (const [code, pattern] of advice) {
      const cause = errorOf(code);
      const problem = asFileProblem(cause, '/some/path');
      expect(problem, code).to.be.instanceOf(InputError);
      expect((problem as InputError).message)
        .to.match(/^\/some\/path: [^\n]*$/)
        .and.to.match(pattern);
      expect((problem as InputError).cause).to.equal(cause);
    }
  });

  it('leaves everything else as it is', () => {
    for (const error of [errorOf('ERR_INVALID_ARG_TYPE'), new Error('ENOSPC'), 'ENOSPC', undefined]) {
      expect(asFileProblem(error, '/some/path')).to.equal(error);
    }
    const known = new InputError('known');
    expect(asFileProblem(known, '/some/path')).to.equal(known);
  });
});

describe('canonicalJson', () => {
  it('is the same text for the same value, in whatever order its keys came', () => {
    const text = '{"a":[{"c":2,"d":1},3],"b":{"x":null,"y":"z"}}';
    expect(canonicalJson({ b: { y: 'z', x: null }, a: [{ d: 1, c: 2 }, 3] })).to.equal(text);
    expect(canonicalJson({ a: [{ c: 2, d: 1 }, 3], u: undefined, b: { x: null, y: 'z' } })).to.equal(text);
    expect(canonicalJson({ 10: 1, 9: 2, a: 3 })).to.equal(canonicalJson({ a: 3, 9: 2, 10: 1 }));
  });

  it('keeps the order of lists', () => {
    expect(canonicalJson([2, 1])).to.equal('[2,1]');
  });

  it('refuses numbers that would all become null', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => canonicalJson({ a: [value] })).to.throw(RangeError, String(value));
    }
  });
});

describe('reading files', () => {
  it('hashes a file as its bytes hash', () =>
    inFolder(async (folder) => {
      // The examples of FIPS 180-4 and RFC 1321.
      const path = join(folder, 'abc');
      await writeFile(path, 'abc');
      const hex = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
      expect([await hashFile(path), sha256('abc'), sha256(Buffer.from('abc'))]).to.deep.equal([hex, hex, hex]);
      expect(await hashFile(path, 'sha512', 'base64')).to.equal(
        '3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==',
      );
    }));

  it('reads JSON, undefined where there is none, a problem where it is something else', () =>
    inFolder(async (folder) => {
      const path = join(folder, 'x.json');
      expect(await readJson(path)).to.equal(undefined);
      expect(await exists(path)).to.equal(false);
      await writeFile(path, '{"a": 1}');
      expect(await readJson(path)).to.deep.equal({ a: 1 });
      expect(await exists(path)).to.equal(true);
      await writeFile(path, '{"a": ');
      const broken = await rejection(readJson(path));
      expect(broken).to.be.instanceOf(InputError);
      expect(broken.message).to.contain('x.json: not JSON');
      expect(await rejection(readJson(folder))).to.be.instanceOf(InputError);
    }));

  it('makes sure of a folder', () =>
    inFolder(async (folder) => {
      await ensureFolder(join(folder, 'a', 'b'));
      await ensureFolder(join(folder, 'a', 'b'));
      expect(await readdir(folder)).to.deep.equal(['a']);
      await writeFile(join(folder, 'file'), '');
      for (const path of [join(folder, 'file'), join(folder, 'file', 'below')]) {
        expect(await rejection(ensureFolder(path)), path).to.be.instanceOf(InputError);
      }
    }));
});

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
      `features of 1,281,167 images: need 14.37 GB in ${tmpdir()}, 5.10 GB are free; make space, or choose another place (--cache)`,
    ]);
  });
});
