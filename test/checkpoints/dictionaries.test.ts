import { expect } from 'chai';
import { dictionariesIn } from '../../src/checkpoints/pytorch.js';
import { StorageRef, TensorRef } from '../../src/checkpoints/storages.js';
import type { PickleValue } from '../../src/pickle/reader.js';
import { budgetOf, refusal } from './helpers.js';

const tensor = new TensorRef(new StorageRef('0', 'F32', 1), 'F32', 0, [1], [1]);

function dict(entries: Record<string, PickleValue>): Map<PickleValue, PickleValue> {
  return new Map(Object.entries(entries));
}

const found = (root: PickleValue): Record<string, string[]> =>
  Object.fromEntries(dictionariesIn(root, budgetOf('x')).map(({ path, tensors }) => [path, [...tensors.keys()]]));

describe('dictionariesIn', () => {
  it('finds every dict of tensors, in dicts and lists, by the keys that lead to it', () => {
    const root = dict({
      best: tensor,
      model: dict({ 'conv.weight': tensor }),
      parts: [3, dict({ a: tensor, inner: dict({ b: tensor }) })],
      optimizer: dict({ state: new Map([[0, dict({ momentum: tensor })]]) }),
    });
    expect(found(root)).to.deep.equal({
      model: ['conv.weight'],
      'parts.1.inner': ['b'],
      'parts.1': ['a'],
      '': ['best'],
    });
  });

  it('ends with dicts and lists that hold themselves or nest without end', async () => {
    const self = dict({ a: tensor });
    const list: PickleValue[] = [self];
    list.push(list);
    self.set('self', self).set('list', list);
    expect(found(self)).to.deep.equal({ '': ['a'] });
    let deep: PickleValue = dict({ 'too deep': tensor });
    for (let i = 0; i < 100_000; i++) deep = i % 2 === 0 ? [deep] : dict({ inner: deep });
    await refusal(() => dictionariesIn(deep, budgetOf('x')), /x: holds no named tensors/);
  });

  it('has a limit on names', async () => {
    const many = new Map(Array.from({ length: 50_001 }, (_, i) => [`w${i}`, tensor]));
    await refusal(() => dictionariesIn(many, budgetOf('x')), /50001 named tensors; valid: at most 50000/);
  });
});
