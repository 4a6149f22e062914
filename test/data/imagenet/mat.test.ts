import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { readMat } from '../../../src/data/imagenet/mat.js';
import { Budget } from '../../../src/json.js';
import { compressed, element, fileOf, int, matrix, struct } from './mats.js';

const read = (file: Buffer) => readMat(file, new Budget('meta.mat', file.length, 'the real one'));

describe('MATLAB files', () => {
  it('the small real one is read, and one made here', async () => {
    const real = await readFile(new URL('../../fixtures/imagenet/meta.mat', import.meta.url));
    expect(read(real).get('synsets')).to.be.an('array');
    const numbers = matrix(6, element(9, Buffer.from(Float64Array.of(1, 2).buffer)));
    expect(read(fileOf(compressed(struct(numbers)))).get('synsets')).to.deep.equal([{ a: [1, 2] }]);
  });

  const deep = (levels: number): Buffer => {
    let inner = matrix(6, element(2, Buffer.from([1])));
    for (let i = 0; i < levels; i++) inner = struct(inner);
    return inner;
  };
  /** Each says that it has 60,000 bytes in the place of four: so it holds all that follow. */
  const overlapping = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([14, 0, 0x60, 0xea, 6, 0, 4, 0])));
  const refused: readonly (readonly [string, () => Buffer, RegExp])[] = [
    [
      'a hundred variables that inflate to 15 MB each',
      () => fileOf(...Array.from({ length: 100 }, () => compressed(matrix(6, element(2, Buffer.alloc(15_000_000)))))),
      /^meta\.mat: takes more than \d+ bytes of memory to read, the limit for \d+ bytes; valid: the real one$/,
    ],
    ['two million empty elements', () => fileOf(compressed(matrix(2, Buffer.alloc(15_000_000)))), /bytes of memory/],
    ['structures that nest', () => fileOf(compressed(deep(5000))), /nest more than 10 deep/],
    ['elements that lie in each other', () => fileOf(overlapping), /an element of 60000 bytes where 4 have room/],
    ['a long text', () => fileOf(matrix(4, element(2, Buffer.alloc(1_000_000)))), /a text of 1000000 letters/],
    [
      'names without letters',
      () => fileOf(matrix(2, int(0), element(1, Buffer.alloc(8)))),
      /names of fields of 0 bytes/,
    ],
    [
      'names of negative length',
      () => fileOf(matrix(2, int(-1), element(1, Buffer.alloc(8)))),
      /names of fields of -1/,
    ],
    [
      'ten million names',
      () => fileOf(compressed(matrix(2, int(1), element(1, Buffer.alloc(10_000_000))))),
      /takes more than \d+ steps/,
    ],
  ];
  for (const [what, make, message] of refused) {
    it(`${what}: refused`, () => {
      expect(() => read(make())).to.throw(message);
    });
  }
});
