import { networkByName } from '../../src/networks/catalogue.js';
import { recipes } from '../../src/training/recipe.js';
import type { TrainingState } from '../../src/training/state.js';
import { initialTensors } from '../../src/training/train.js';
import { smallest } from './child.js';

export const network = networkByName(smallest);
export const STEPS_PER_EPOCH = 5;

const weights = initialTensors(network, 0, true);

/** A training of the smallest network in its second epoch, as it would be saved. */
export const state: TrainingState = {
  training: {
    network: smallest,
    preset: 'laptop',
    recipe: recipes.smoke,
    seed: 0,
    engine: 'tfjs-cpu',
    dataSha256: 'a',
  },
  position: {
    epoch: 1,
    step: 2,
    lossSum: 1.5,
    correct: 3,
    seconds: 1,
    curve: [
      {
        epoch: 1,
        step: STEPS_PER_EPOCH,
        learningRate: 0.1,
        trainLoss: 2,
        trainAccuracy: 0.1,
        validationAccuracy: 0.2,
        seconds: 1,
      },
    ],
  },
  tensors: { weights, momenta: new Map([...weights].slice(0, 1)) },
};
