import { expect } from 'chai';
import { PickleGlobal, type PickleValue, readPickle } from '../../src/pickle/reader.js';
import { budgetOf, refusal } from './helpers.js';

const options = { budget: budgetOf('file'), findGlobal: () => undefined };

function read(text: string | Buffer): PickleValue {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
  return readPickle(bytes, 0, { ...options, budget: budgetOf('file', bytes.length) }).value;
}

describe('pickle', () => {
  // pickle.dumps([1, -2, 2**40, -2**70, 1.5, 'a', 'ü', True, None, (1,), (), {'k': [2]}], protocol), Python 3.11
  const pickles: readonly (readonly [number, string])[] = [
    [
      0,
      'KGxwMApJMQphSS0yCmFMMTA5OTUxMTYyNzc3NkwKYUwtMTE4MDU5MTYyMDcxNzQxMTMwMzQyNEwKYUYxLjUKYVZhCnAxCmFW/ApwMgphSTAxCmFOYShJMQp0cDMKYSh0YShkcDQKVmsKcDUKKGxwNgpJMgphc2Eu',
    ],
    [
      2,
      'gAJdcQAoSwFK/v///4oGAAAAAAABigkAAAAAAAAAAMBHP/gAAAAAAABYAQAAAGFxAVgCAAAAw7xxAohOSwGFcQMpfXEEWAEAAABrcQVdcQZLAmFzZS4=',
    ],
    [4, 'gASVRAAAAAAAAABdlChLAUr+////igYAAAAAAAGKCQAAAAAAAAAAwEc/+AAAAAAAAIwBYZSMAsO8lIhOSwGFlCl9lIwBa5RdlEsCYXNlLg=='],
  ];
  for (const [protocol, base64] of pickles) {
    it(`reads plain data of protocol ${protocol}`, () => {
      const expected = [1, -2, 2 ** 40, -(2n ** 70n), 1.5, 'a', 'ü', true, null, [1], [], new Map([['k', [2]]])];
      expect(read(Buffer.from(base64, 'base64'))).to.deep.equal(expected);
    });
  }

  it('says where the pickle ends, so that the next can be read', () => {
    expect(readPickle(Buffer.from('..K\x01.K\x02.', 'latin1'), 2, options)).to.deep.equal({ value: 1, end: 5 });
  });

  it('keeps shared objects shared', () => {
    const [a, b] = read(']q\x00h\x00\x86.') as PickleValue[];
    expect(a).to.equal(b);
  });

  it('calls only what it is given', () => {
    const double = new PickleGlobal('m.double', ([n]) => Number(n) * 2);
    const findGlobal = (name: string) => (name === 'm.double' ? double : undefined);
    expect(readPickle(Buffer.from('cm\ndouble\nK\x15\x85R.', 'latin1'), 0, { ...options, findGlobal }).value).to.equal(
      42,
    );
  });

  const refused: [string, string, RegExp][] = [
    ['a global, by its name', 'cos\nsystem\n.', /file: refused: asks for Python's "os\.system"/],
    ['a global of protocol 4', '\x80\x04\x8c\x05posix\x8c\x06system\x93.', /"posix\.system"/],
    ['a global of INST', '(ios\nsystem\n.', /"os\.system"/],
    ['extension registry codes', '\x82\x01.', /opcode 0x82/],
    ['an unknown opcode', '\xff.', /byte 0: malformed pickle: opcode 0xff/],
    ['an empty stack', '.', /stack is empty/],
    ['a pickle without an end', 'K\x01', /truncated/],
    ['a text longer than the file', 'X\xff\xff\xff\xff', /byte 1: size 4294967295/],
    ['a huge integer', '\x8b\xff\xff\xff\x7f', /size 2147483647; valid: at most 1024/],
    ['a missing memo entry', 'h\x05.', /memo 5 is not set/],
    ['a call of data', 'K\x01)R.', /calls something that is not a function/],
    ['a state on data', ']}b.', /sets the state of plain data/],
    ['append to a number', 'K\x01K\x02a.', /appends to something other than a list/],
    ['half a pair', '}(K\x01u.', /a dict needs pairs/],
    ['a mark that is not there', 't.', /no mark is open/],
    ['persistent ids', 'K\x01Q.', /unexpected persistent id/],
    ['deep nesting', `${'('.repeat(2000)}.`, /nested more than 1000 deep/],
    ['more than ten million operations', `${'N0'.repeat(5_500_000)}N.`, /takes more than 10000000 steps to read/],
    ['a newer protocol', '\x80\x06N.', /protocol above 5/],
    ['text for a number', 'Iabc\n.', /not a whole number/],
  ];
  for (const [what, pickle, message] of refused) {
    it(`refuses ${what}`, async () => {
      const error = await refusal(() => read(pickle), message);
      expect(error.problems).to.have.length(1);
    });
  }

  it('a list that holds itself does no harm', () => {
    const list = read(']q\x00h\x00a.') as PickleValue[];
    expect(list[0]).to.equal(list);
  });

  it('dict keys cannot reach a prototype', () => {
    const dict = read('}X\x09\x00\x00\x00__proto__}X\x01\x00\x00\x00xK\x01ss.') as Map<PickleValue, PickleValue>;
    expect([...dict.keys()]).to.deep.equal(['__proto__']);
    expect(({} as { x?: unknown }).x).to.equal(undefined);
  });
});
