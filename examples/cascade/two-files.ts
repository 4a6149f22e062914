/**
 * A small network first, and a large one where the small one is not sure: two ONNX files and a folder of images with
 * classes. Nothing is trained.
 *
 * Command   npx dgate run ./two-files.ts
 *           npx dgate export ./two-files.ts --margin 0.005 --out cascade.onnx       (one file, both networks)
 *           npx dgate predict --model cascade.onnx photo.jpg
 */
import { cascade, defineExperiment, imageFolder, onnxNetwork } from 'dgate';

const pixels = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], resize: 64, crop: 64 };
const file = (path: string) => ({ network: onnxNetwork(path, { preprocess: pixels }) });

export default defineExperiment({
  name: 'two-files',
  title: 'small.onnx, then large.onnx where it is not sure',
  network: cascade([file('small.onnx'), file('large.onnx')]),
  dataset: imageFolder('images', { preprocess: pixels, testShare: 0.999 }),
  thresholds: { margins: [0, 0.005, 0.01], guarantee: { drop: 0.01 } },
  baselines: [],
});
