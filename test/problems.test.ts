import { expect } from 'chai';
import { parseCsv } from '../src/csv.js';
import { InputError, Problems } from '../src/errors.js';
import { parsePublished } from '../src/paper/published.js';
import { refusal } from './checkpoints/helpers.js';
import { processorMs } from './processorTime.js';

const lines = (count: number): string[] => Array.from({ length: count }, (_, i) => `line ${i + 1}`);

describe('problems of one input', () => {
  it('are reported one by one up to a hundred, and counted from there', () => {
    expect(new InputError(lines(101)).problems).to.deep.equal(lines(101));
    const { problems } = new InputError(lines(102));
    expect(problems).to.deep.equal([...lines(100), 'and 2 more problems']);
    expect(new InputError(lines(1_000_000)).message.split('\n').at(-1)).to.equal('and 999900 more problems');
  });

  it('keep their count where they are reported of a file, or with others', () => {
    const first = new InputError(lines(500));
    const of = new InputError(first.problems.map((line) => `mine.ts: ${line}`));
    expect(of.problems.at(-1)).to.equal('mine.ts: and 400 more problems');
    expect(of.problems).to.have.length(101);
  });

  it('are none where none was found, and have their own word and limit', () => {
    expect(() => new Problems().throwIfAny()).not.to.throw();
    expect(() => new Problems(['a']).throwIfAny()).to.throw(InputError, /^a$/);
    expect(new Problems(lines(5), 2, 'more labels').lines()).to.deep.equal(['line 1', 'line 2', 'and 3 more labels']);
  });
});

describe('CSV of others', () => {
  it('is read by the names of its columns', () => {
    expect(parseCsv('a,b\n1,"x, y"\n', 't.csv')).to.deep.equal([{ a: '1', b: 'x, y' }]);
    expect(() => parseCsv('a,b\n1\n', 't.csv')).to.throw(InputError, /^t\.csv: not CSV: /);
  });

  for (const [what, text] of [
    ['empty rows', '\n'.repeat(1_000_000)],
    ['carriage returns', '\r'.repeat(1_000_000)],
    ['rows of one cell', `model\n${'"",\n'.replace(',', '').repeat(300_000)}`],
    ['cells of two rows', `${lines(100_000).join()}\n${`${','.repeat(99_999)}\n`.repeat(5)}`],
  ] as const) {
    it(`a megabyte of ${what} as a published table is refused, in seconds`, async () => {
      const ms = await processorMs(
        () => refusal(() => parsePublished(text, 't.csv'), /^t\.csv: (takes more than|row 1: )/),
        3000,
      );
      expect(ms).to.be.below(3000);
    });
  }

  it('rows that are wrong are counted, and a hundred reported', () => {
    const rows = `model,accuracy_percent,flops_g\n${'a,x,1\n'.repeat(5000)}`;
    try {
      parsePublished(rows, 't.csv');
      expect.fail('it was read');
    } catch (error) {
      const { problems } = error as InputError;
      expect(problems[99]).to.equal('t.csv: row 100: accuracy_percent "x"; valid: a number');
      expect(problems[100]).to.equal('and 4900 more problems');
    }
  });
});
