import { InputError } from '../errors.js';
import type { Dataset } from './dataset.js';
import { imagenet } from './imagenet/index.js';
import { cifar10, cifar100, fashionMnist } from './records/index.js';

/** Every dataset that dgate knows. A new one is a file or folder beside this one and a line here. */
export const datasets: readonly Dataset[] = [cifar10, cifar100, fashionMnist, imagenet];

/** The dataset of this name. @throws InputError with the valid names */
export function datasetNamed(name: string, among: readonly Dataset[] = datasets): Dataset {
  const found = among.find((dataset) => dataset.name === name);
  if (found === undefined) {
    throw new InputError(`${name}: no such dataset; valid: ${among.map((dataset) => dataset.name).join(', ')}`);
  }
  return found;
}
