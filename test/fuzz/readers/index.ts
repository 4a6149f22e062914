import type { Reader } from '../fuzz.js';
import { checkpointReaders } from './checkpoints.js';
import { dataReaders } from './data.js';
import { experimentReaders } from './experiments.js';
import { imageReaders } from './images.js';
import { onnxReaders } from './onnx.js';
import { storedReaders } from './stored.js';

/** Everything of dgate that reads what others may have written. */
export const readers: readonly Reader[] = [
  ...checkpointReaders,
  ...dataReaders,
  ...imageReaders,
  ...onnxReaders,
  ...experimentReaders,
  ...storedReaders,
];
