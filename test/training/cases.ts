import { fileURLToPath } from 'node:url';
import { networkByName } from '../../src/networks/catalogue.js';
import type { Network } from '../../src/networks/network.js';
import { Random } from '../../src/random.js';
import type { Tensor } from '../../src/tensor.js';
import { recipes } from '../../src/training/recipe.js';
import type { Recipe } from '../../src/training/state.js';
import { generatedTensors } from '../parity.js';

/** A training of a few steps that needs no data: PyTorch does the same in `reference.py`. */
export interface TrainingCase {
  readonly network: Network;
  readonly recipe: Recipe;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Each step's images, (IMAGES, channels, height, width). */
  readonly images: readonly Float32Array[];
  readonly labels: readonly Int32Array[];
}

export const IMAGES = 6;
export const LEARNING_RATES = [0.05, 0.1, 0.02];

const names: readonly (readonly [string, keyof typeof recipes])[] = [
  ['resnet20-blocks1.1.1-width0.25-cifar10', 'laptop'],
  ['resnet20b-blocks1.1.1-width0.25-cifar10', 'paper'],
  ['resnet50-blocks1.1.1.1-width0.0625-cifar10', 'laptop'],
  ['resnet18-blocks1.1.1.1-width0.0625-imagenet', 'paper'],
  ['densenet121-blocks2.1.1.1-growth4-cifar10', 'paper'],
  ['densenet121tv-blocks2.1.1.1-growth4-cifar10', 'laptop'],
];

/** One of each family; images of 16 x 16 pixels so that plain JavaScript trains them in a second. */
export function trainingCases(): TrainingCase[] {
  return names.map(([name, preset]) => {
    const network = { ...networkByName(name), input: { channels: 3, height: 16, width: 16 } };
    const classes = network.classifier.out;
    const random = new Random(5, name);
    const images = LEARNING_RATES.map(() =>
      Float32Array.from({ length: IMAGES * 768 }, () => 4 * random.uniform() - 2),
    );
    const labels = LEARNING_RATES.map(() => Int32Array.from({ length: IMAGES }, () => random.below(classes)));
    return { network, recipe: recipes[preset], weights: generatedTensors(network), images, labels };
  });
}

// npx tsx test/training/cases.ts > cases.json; python3 test/training/reference.py cases.json > test/fixtures/training/reference.json
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const plain = trainingCases().map(({ weights, images, labels, ...rest }) => ({
    ...rest,
    learningRates: LEARNING_RATES,
    images: images.map((batch) => [...batch]),
    labels: labels.map((batch) => [...batch]),
    weights: Object.fromEntries([...weights].map(([name, { shape, data }]) => [name, { shape, data: [...data] }])),
  }));
  process.stdout.write(JSON.stringify(plain));
}
