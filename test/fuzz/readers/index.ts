import type { Reader } from '../fuzz.js';
import { amplifiedReaders } from './amplified.js';
import { checkpointReaders } from './checkpoints.js';
import { dataReaders } from './data.js';
import { experimentReaders } from './experiments.js';
import { imageReaders } from './images.js';
import { onnxReaders } from './onnx.js';
import { storedReaders } from './stored.js';

const usual: readonly Reader[] = [
  ...checkpointReaders,
  ...dataReaders,
  ...imageReaders,
  ...onnxReaders,
  ...experimentReaders,
  ...storedReaders,
];

/** Everything of dgate that reads what others may have written, and the same with files that ask for more than they hold. */
export const readers: readonly Reader[] = [...usual, ...amplifiedReaders(usual)];
