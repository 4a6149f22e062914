import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeSafetensors } from '../../src/checkpoints/load.js';
import { InputError } from '../../src/errors.js';
import type { TensorMap } from '../../src/tensor.js';
import { recipes } from '../../src/training/recipe.js';
import { checkState, readState, type TrainingState, writeState } from '../../src/training/state.js';
import { network, STEPS_PER_EPOCH, state } from './states.js';

const { weights } = state.tensors;

describe('a training that was interrupted', () => {
  let folder: string;
  let path: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-state-'));
    path = join(folder, 'x.state.safetensors');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const problemsOf = async (work: () => unknown): Promise<readonly string[]> => {
    const error = await Promise.resolve()
      .then(work)
      .catch((thrown: unknown) => thrown);
    if (!(error instanceof InputError)) throw error;
    return error.problems;
  };

  it('is read as it was written', async () => {
    await writeState(path, state);
    const found = await readState(path);
    expect(found).to.deep.equal(state);
    checkState(found, network, STEPS_PER_EPOCH, path);
  });

  const about = { format: 'dgate training 1', training: state.training, position: state.position };
  const hostile: readonly (readonly [string, object, RegExp])[] = [
    ['another format', { ...about, format: 'dgate training 9' }, /not an interrupted training of this version/],
    ['no position', { ...about, position: undefined }, /its position is not JSON/],
    ['a position that is none', { ...about, position: [] }, /position: .*expected object/],
    ['a step of text', { ...about, position: { ...state.position, step: '1' } }, /position\.step: .*expected number/],
    ['a step below 0', { ...about, position: { ...state.position, step: -1 } }, /position\.step: /],
    ['a curve of nothing', { ...about, position: { ...state.position, curve: [null] } }, /position\.curve\.0: /],
    ['a key more', { ...about, position: { ...state.position, evil: 1 } }, /position: Unrecognized key: "evil"/],
    ['no recipe', { ...about, training: { ...state.training, recipe: null } }, /training\.recipe: /],
    [
      'a preset of no kind',
      { ...about, training: { ...state.training, preset: '__proto__' } },
      /training\.preset: Invalid option: expected one of "paper"/,
    ],
    [
      'more padding than there is memory',
      { ...about, training: { ...state.training, recipe: { ...recipes.smoke, cropPadding: 1e9 } } },
      /training\.recipe\.cropPadding: /,
    ],
  ];
  for (const [what, metadata, message] of hostile) {
    it(`with ${what}: refused in one line`, async () => {
      const texts = Object.entries(metadata).map(([key, value]) => [
        key,
        typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined'),
      ]);
      await writeSafetensors(path, weights, Object.fromEntries(texts));
      const lines = await problemsOf(() => readState(path));
      expect(lines).to.have.length(1);
      expect(lines[0])
        .to.match(message)
        .and.match(/x\.state\.safetensors: .*; valid: what dgate train wrote/);
    });
  }

  it('with the tensors of another network, or at a place that no training reaches: refused', async () => {
    const lacking: TensorMap = new Map([...weights].slice(1));
    const [name = '', first] = [...weights][0]!;
    const bent = new Map([[name, { shape: [1], data: first!.data.slice(0, 1) }]]);
    const { position, tensors } = state;
    const cases: readonly (readonly [TrainingState, RegExp])[] = [
      [{ ...state, tensors: { ...tensors, weights: lacking } }, /is missing/],
      [{ ...state, tensors: { ...tensors, momenta: bent } }, /momenta: .*[\s\S]*has shape \[1\]/],
      [{ ...state, tensors: { ...tensors, momenta: new Map([['nowhere', first!]]) } }, /nowhere is not in the network/],
      [
        { ...state, position: { ...position, step: 5 } },
        /impossible position: epoch 1, step 5, .* of 2 epochs of 5 steps/,
      ],
      [{ ...state, position: { ...position, epoch: 2 } }, / 1 points of its curve/],
      [{ ...state, position: { ...position, epoch: 9 } }, /impossible position: epoch 9/],
    ];
    for (const [wrong, message] of cases) {
      const lines = await problemsOf(() => checkState(wrong, network, STEPS_PER_EPOCH, path));
      expect(lines.join('\n')).to.match(message);
    }
  });
});
