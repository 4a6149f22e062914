import { expect } from 'chai';
import { fixture, readTorch, refusal } from './helpers.js';
import { storage, tensor, text, zipFile } from './pickles.js';

describe('tensors that are more than a view', () => {
  it('have the values that PyTorch gives them: negated ones, those with attributes, and those of other classes', async () => {
    const { tensors } = await readTorch(await fixture('zip-views.pth'), 'x');
    const values = [1, -2, 0.5, 4];
    const negative = [-1, 2, -0.5, -4];
    // What torch.load of 2.15 shows, after resolve_neg().
    expect(Object.fromEntries([...tensors].map(([name, { data }]) => [name, [...data]]))).to.deep.equal({
      negative,
      imaginary: negative,
      negative_rows: [-1, -0.5, 2, -4],
      negative_parameter: negative,
      marked: values,
      noted: values,
      buffer: values,
      unsigned: [1, 60000],
      negative_half: negative,
    });
  });

  const plain = tensor(storage(4), 'K\x04', 'K\x01');
  const read = (pickled: string) =>
    readTorch(zipFile(`}${text('w')}${pickled}s.`, new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)), 'file');
  const withMetadata = (metadata: string): string => tensor(storage(4), 'K\x04', 'K\x01', `\x89}${metadata}`);
  const parameter = (rest: string): string => `ctorch._utils\n_rebuild_parameter\n(${plain}${rest}tR`;
  const stateful = (state: string): string => `ctorch._utils\n_rebuild_parameter_with_state\n(${plain}\x88}${state}tR`;
  const typed = (make: string, type: string, rest: string): string =>
    `ctorch._tensor\n_rebuild_from_type_v2\n(${make}${type}${rest}tR`;
  const v2 = 'ctorch._utils\n_rebuild_tensor_v2\n';
  const args = `(${storage(4)}K\x00(K\x04t(K\x01t\x89}t`;

  for (const [what, pickled] of [
    ['no metadata', withMetadata('N')],
    ['an empty dict of metadata', withMetadata('}')],
    ['no hooks', tensor(storage(4), 'K\x04', 'K\x01', '\x89N')],
    ['plain attributes', stateful(`}${text('a')}K\x01s`)],
    ['attributes and slots', stateful(`}${text('a')}K\x01sN\x86`)],
    ['a class of its own', typed(v2, 'ctorch\nTensor\n', `${args}N`)],
  ] as const) {
    it(`${what}: read`, async () => {
      expect([...(await read(pickled)).tensors.get('w')!.data]).to.deep.equal([1, 2, 3, 4]);
    });
  }

  for (const [what, pickled, message] of [
    ['conj on real numbers', withMetadata(`}${text('conj')}\x88s`), /a tensor with the "conj" bit/],
    ['neg that is not', withMetadata(`}${text('neg')}\x89s`), /a tensor with metadata "neg"/],
    ['neg and more', withMetadata(`}(${text('neg')}\x88${text('lazy')}K\x01u`), /a tensor with metadata "lazy"/],
    ['metadata that are a list', withMetadata(']'), /metadata is no dict/],
    ['one argument too many', withMetadata('NN'), /arguments that PyTorch does not write/],
    ['hooks', tensor(storage(4), 'K\x04', 'K\x01', `\x89}K\x01K\x01s`), /a tensor with backward hooks/],
    ['a parameter with hooks', parameter(`\x88}K\x01K\x01s`), /a tensor with backward hooks/],
    ['a parameter with one argument more', parameter('\x88}NN'), /arguments that PyTorch does not write/],
    ['other numbers as an attribute', stateful(`}${text('data')}${plain}s`), /an attribute data/],
    ['attributes that are a text', stateful(text('a')), /attributes are no dict/],
    ['a class of somebody', typed(v2, 'ctorch\nSize\n', `${args}N`), /a tensor of another class/],
    ['a class that nobody knows', typed(v2, 'cmine\nTensor\n', `${args}N`), /asks for Python's "mine\.Tensor"/],
    ['another maker', typed('ctorch\nSize\n', 'ctorch\nTensor\n', `${args}N`), /made in another way/],
    ['a class that is called', `ctorch\nTensor\n(${plain}tR`, /refused: holds torch\.Tensor/],
    [
      'a negated one below',
      typed(v2, 'ctorch\nTensor\n', `(${storage(4)}K\x00(K\x04t(K\x01t\x89}}${text('conj')}\x88stN`),
      /"conj"/,
    ],
  ] as const) {
    it(`${what}: refused by name`, () => refusal(() => read(pickled), message));
  }
});
