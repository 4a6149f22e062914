import { expect } from 'chai';
import type { PickleValue } from '../../src/checkpoints/pickle.js';
import { findStateDict } from '../../src/checkpoints/state-dict.js';
import { StorageRef, TensorRef } from '../../src/checkpoints/storages.js';
import { budgetOf, refusal } from './helpers.js';

const tensor = new TensorRef(new StorageRef('0', 'F32', 1), 'F32', 0, [1], [1]);

function dict(entries: Record<string, PickleValue>): Map<PickleValue, PickleValue> {
  return new Map(Object.entries(entries));
}

function named(...names: string[]): Map<PickleValue, PickleValue> {
  return dict(Object.fromEntries(names.map((name) => [name, tensor])));
}

function found(root: PickleValue): { path: string; names: string[] } {
  const { path, tensors } = findStateDict(root, budgetOf('x'));
  return { path, names: [...tensors.keys()] };
}

describe('findStateDict', () => {
  it('prefers the usual keys to a dict with more tensors', () => {
    const root = dict({ best: tensor, ema: named('a', 'b'), model: named('c'), other: named('d', 'e', 'f') });
    expect(found(root)).to.deep.equal({ path: 'model', names: ['c'] });
  });

  it('takes the dict with the most tensors where no key is usual', () => {
    const root = dict({ a: named('p'), b: dict({ c: named('q', 'r') }) });
    expect(found(root)).to.deep.equal({ path: 'b > c', names: ['q', 'r'] });
  });

  it('removes what wraps every name, also twice, and keeps what wraps some', () => {
    expect(found(named('module._orig_mod.a.w', 'module._orig_mod.b.w')).names).to.deep.equal(['a.w', 'b.w']);
    expect(found(named('module.a.w', 'b.w')).names).to.deep.equal(['module.a.w', 'b.w']);
  });

  it('ends with dicts that hold themselves or nest without end', async () => {
    const self = named('a');
    self.set('self', self);
    expect(found(self).names).to.deep.equal(['a']);
    let deep = named('too deep');
    for (let i = 0; i < 100_000; i++) deep = dict({ inner: deep });
    await refusal(() => findStateDict(deep, budgetOf('x')), /x: holds no named tensors/);
  });
});
